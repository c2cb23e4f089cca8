package dev.lathe.gpucheck;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClasspathRoots;

import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** The classes with tests that want a GPU, as JUnit finds them. */
final class TestClasses {
  private TestClasses() {}

  static List<String> tagged(String tag) {
    LauncherDiscoveryRequest request =
        LauncherDiscoveryRequestBuilder.request()
            .selectors(selectClasspathRoots(Set.of(classes())))
            .filters(
                TagFilter.includeTags(tag),
                TagFilter.excludeTags("long", "launcher"),
                org.junit.platform.engine.discovery.ClassNameFilter.includeClassNamePatterns(
                    ".*Test"))
            .build();
    TestPlan plan = LauncherFactory.create().discover(request);
    TreeSet<String> names = new TreeSet<>();
    for (TestIdentifier engine : plan.getRoots()) {
      for (TestIdentifier found : plan.getDescendants(engine)) {
        found
            .getSource()
            .filter(ClassSource.class::isInstance)
            .map(source -> ((ClassSource) source).getClassName())
            .filter(name -> !name.contains("$"))
            .ifPresent(names::add);
      }
    }
    return List.copyOf(names);
  }

  private static Path classes() {
    try {
      return Path.of(TestClasses.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException("class path with a broken address", e);
    }
  }
}
