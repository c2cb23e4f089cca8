package dev.lathe;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;

import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The floors of the house: a package may call only those on floors below its own. */
final class Floors {

  /** From the top; packages in one row do not call each other, save for {@link #NEIGHBOURS}. */
  static final List<List<String>> ROWS =
      List.of(
          List.of("cli"),
          List.of("serve", "sweep"),
          List.of("optimize"),
          List.of("report"),
          List.of("measure"),
          List.of("compress", "generate", "train"),
          List.of("model"),
          List.of("backend"),
          List.of("tokenize"),
          List.of("checkpoint"),
          List.of("tensor"),
          List.of("files"),
          List.of("error"));

  /** Calls within a row that the design wants, as "from to". */
  private static final Set<String> NEIGHBOURS = Set.of();

  private Floors() {}

  /** The rule for the packages right below {@code root}; classes of any other package break it. */
  static ArchRule rule(String root) {
    return classes()
        .that()
        .resideInAPackage(root + "..")
        .should(callOnlyBelow(root))
        .because("the floors are what keeps the house understandable: docs/architecture.md");
  }

  /** The package right below {@code root} that a class lies in; empty where it is in none. */
  static String packageOf(String root, JavaClass type) {
    String name = type.getPackageName();
    if (!name.startsWith(root + ".")) {
      return "";
    }
    String below = name.substring(root.length() + 1);
    int dot = below.indexOf('.');
    return dot < 0 ? below : below.substring(0, dot);
  }

  private static ArchCondition<JavaClass> callOnlyBelow(String root) {
    Map<String, Integer> rows = new HashMap<>();
    for (int row = 0; row < ROWS.size(); row++) {
      for (String name : ROWS.get(row)) {
        rows.put(name, row);
      }
    }
    return new ArchCondition<>("call only floors below their own") {
      @Override
      public void check(JavaClass type, ConditionEvents events) {
        String from = packageOf(root, type);
        Integer row = rows.get(from);
        if (row == null) {
          // package-info.java of the root is the only thing that belongs to no floor.
          if (!type.getSimpleName().equals("package-info")) {
            events.add(
                SimpleConditionEvent.violated(
                    type, type.getName() + " lies on no floor; the floors are " + ROWS));
          }
          return;
        }
        for (Dependency dependency : type.getDirectDependenciesFromSelf()) {
          String to = packageOf(root, dependency.getTargetClass().getBaseComponentType());
          Integer target = rows.get(to);
          if (target == null || to.equals(from) || NEIGHBOURS.contains(from + " " + to)) {
            continue;
          }
          if (target <= row) {
            events.add(
                SimpleConditionEvent.violated(
                    type, from + " calls " + to + ": " + dependency.getDescription()));
          }
        }
      }
    };
  }
}
