package dev.lathe.gpucheck;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import java.io.PrintStream;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.platform.engine.FilterResult;
import org.junit.platform.engine.TestDescriptor;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.TestSource;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.PostDiscoveryFilter;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import tools.jackson.databind.node.ObjectNode;

/**
 * Tests tagged {@code cuda}, many classes in one process. A method is an item ({@link Items}): what
 * it took and why it failed is known as soon as it ended, so that a kernel that hangs costs its own
 * test only.
 *
 * <pre>java -cp CLASSPATH dev.lathe.gpucheck.TestProcess CLASS...</pre>
 */
public final class TestProcess implements TestExecutionListener {
  private static final String PACKAGE = "dev.lathe.";

  private final Items items;
  private final Map<String, Counts> open = new HashMap<>();
  private TestPlan plan;

  private TestProcess(Items items) {
    this.items = items;
  }

  public static void main(String[] classes) {
    PrintStream out = System.out;
    System.setOut(System.err); // what tests print is not a result
    Items items = Items.of(out);
    LauncherDiscoveryRequest request =
        LauncherDiscoveryRequestBuilder.request()
            .selectors(List.of(classes).stream().map(name -> selectClass(name)).toList())
            .filters(
                TagFilter.includeTags("cuda"),
                TagFilter.excludeTags("long", "launcher"),
                notDone(items))
            .build();
    LauncherFactory.create().execute(request, new TestProcess(items));
    System.exit(0); // whatever threads are left
  }

  private static PostDiscoveryFilter notDone(Items items) {
    return descriptor ->
        FilterResult.includedIf(
            key(descriptor.getSource(), parent(descriptor)).map(items::wants).orElse(true));
  }

  private static Optional<TestSource> parent(TestDescriptor descriptor) {
    return descriptor.getParent().flatMap(TestDescriptor::getSource);
  }

  /** Of what stands directly in a class: a test, or a method that makes several. */
  private static Optional<String> key(Optional<TestSource> source, Optional<TestSource> parent) {
    return source
        .filter(MethodSource.class::isInstance)
        .filter(_ -> parent.filter(ClassSource.class::isInstance).isPresent())
        .map(s -> name((MethodSource) s));
  }

  private static String name(MethodSource method) {
    String owner = method.getClassName();
    owner = owner.startsWith(PACKAGE) ? owner.substring(PACKAGE.length()) : owner;
    return owner + "#" + method.getMethodName();
  }

  private Optional<String> key(TestIdentifier test) {
    return key(test.getSource(), plan.getParent(test).flatMap(TestIdentifier::getSource));
  }

  /** The item that a test belongs to. */
  private Optional<String> owner(TestIdentifier test) {
    Optional<TestIdentifier> at = Optional.of(test);
    while (at.isPresent()) {
      Optional<String> key = key(at.get());
      if (key.isPresent()) {
        return key;
      }
      at = plan.getParent(at.get());
    }
    return Optional.empty();
  }

  /** Of the tests of one method. */
  private static final class Counts {
    private int run;
    private int failed;
    private int skipped;
    private boolean lost;
    private String failure = "";
    private final Map<String, Integer> reasons = new HashMap<>();

    void skip(String reason) {
      skipped++;
      reasons.merge(reason, 1, Integer::sum);
    }

    void fail(String name, Throwable cause) {
      failed++;
      lost |= Items.losesCuda(cause);
      if (failure.isEmpty()) {
        failure = (name.isEmpty() ? "" : name + ": ") + Items.message(cause);
      }
    }

    ObjectNode end(String key) {
      ObjectNode end = Items.object().put("end", key);
      if (!failure.isEmpty()) {
        end.put("failed", failed > 1 ? failed + " of " + run + ", first " + failure : failure);
      }
      ObjectNode tests = end.putObject("tests");
      tests.put("run", run);
      tests.put("failed", failed);
      tests.put("skipped", skipped);
      ObjectNode because = tests.putObject("skipped_because");
      reasons.forEach(because::put);
      return end;
    }
  }

  @Override
  public void testPlanExecutionStarted(TestPlan testPlan) {
    plan = testPlan;
  }

  @Override
  public void executionStarted(TestIdentifier test) {
    key(test)
        .ifPresent(key -> {
          open.put(key, new Counts());
          items.begin(key);
        });
  }

  @Override
  public void executionSkipped(TestIdentifier test, String reason) {
    skipped(test, reason);
  }

  @Override
  public void executionFinished(TestIdentifier test, TestExecutionResult result) {
    Optional<String> owner = owner(test);
    if (owner.isEmpty()) {
      // A class whose own preparation failed: none of its tests ran.
      result
          .getThrowable()
          .filter(_ -> className(test).isPresent())
          .ifPresent(cause -> {
            if (result.getStatus() == TestExecutionResult.Status.ABORTED) {
              skipped(test, reason(cause));
            } else {
              whole(test, counts -> counts.fail("", cause));
            }
          });
      return;
    }
    Counts counts = open.get(owner.get());
    boolean own = key(test).isPresent();
    if (test.isTest()) {
      switch (result.getStatus()) {
        case SUCCESSFUL -> counts.run++;
        case ABORTED -> counts.skip(reason(result.getThrowable().orElseThrow()));
        case FAILED -> {
          counts.run++;
          counts.fail(own ? "" : test.getDisplayName(), result.getThrowable().orElseThrow());
        }
      }
    } else if (result.getStatus() == TestExecutionResult.Status.FAILED) {
      counts.fail("", result.getThrowable().orElseThrow()); // its arguments could not be made
    }
    if (own || counts.lost) {
      items.print(open.remove(owner.get()).end(owner.get()));
      if (counts.lost) {
        System.err.flush();
        Runtime.getRuntime().halt(Items.RESTART);
      }
    }
  }

  private void skipped(TestIdentifier test, String reason) {
    Optional<String> key = key(test);
    if (key.isPresent()) {
      Counts counts = new Counts();
      counts.skip(reason);
      items.begin(key.get());
      items.print(counts.end(key.get()));
    } else if (owner(test).isPresent()) {
      open.get(owner(test).get()).skip(reason);
    } else {
      whole(test, counts -> counts.skip(reason));
    }
  }

  /** One line for a whole class. */
  private void whole(TestIdentifier test, java.util.function.Consumer<Counts> what) {
    String name = className(test).orElse(test.getDisplayName());
    String key = (name.startsWith(PACKAGE) ? name.substring(PACKAGE.length()) : name) + "#*";
    Counts counts = new Counts();
    what.accept(counts);
    items.begin(key);
    items.print(counts.end(key));
    if (counts.lost) {
      Runtime.getRuntime().halt(Items.RESTART);
    }
  }

  private static Optional<String> className(TestIdentifier test) {
    return test.getSource()
        .filter(ClassSource.class::isInstance)
        .map(source -> ((ClassSource) source).getClassName());
  }

  private static String reason(Throwable cause) {
    String text = String.valueOf(cause.getMessage()).lines().findFirst().orElse("");
    return text.replace("Assumption failed: ", "");
  }
}
