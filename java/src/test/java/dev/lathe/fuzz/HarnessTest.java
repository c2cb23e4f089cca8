package dev.lathe.fuzz;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.checkpoint.FuzzSeeds;
import dev.lathe.error.InvalidInputException;
import java.lang.foreign.Arena;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** Canaries: behind each reader, every kind of fault is planted and must be caught. */
class HarnessTest {
  /** A reader with a file that it reads, by what it reads. */
  record Target(String name, Harness harness, Supplier<Stream<byte[]>> seeds) {
    void with(Harness.Reader fault, Duration limit) {
      harness.followedBy(fault, limit).check(seeds.get().findFirst().orElseThrow());
    }

    void with(Harness.Reader fault) {
      with(fault, Harness.LONGEST);
    }

    @Override
    public String toString() {
      return name;
    }
  }

  /** Held here, so that no compiler leaves an allocation out. */
  private static volatile Object sink;

  static final Supplier<Stream<Target>> EACH = HarnessTest::targets;

  private static Stream<Target> targets() {
    return Stream.of(
        new Target("safetensors", ReadersFuzzTest.SAFETENSORS, FuzzSeeds::safetensors),
        new Target("index", ReadersFuzzTest.INDEX, FuzzSeeds::indexes),
        new Target("lineage", ReadersFuzzTest.LINEAGE, FuzzSeeds::lineages),
        new Target("gguf", ReadersFuzzTest.GGUF, FuzzSeeds::gguf),
        new Target("tokenizer", ReadersFuzzTest.TOKENIZER, Seeds::tokenizers),
        new Target("config", ReadersFuzzTest.CONFIG, Seeds::configs),
        new Target("recipe", ReadersFuzzTest.RECIPE, Seeds::recipes),
        new Target("template", ReadersFuzzTest.TEMPLATE, Seeds::templates));
  }

  @ParameterizedTest
  @FieldSource("EACH")
  void seedsAreReadAndNotRefused(Target target) {
    target
        .seeds()
        .get()
        .forEach(seed ->
            assertThatCode(() -> target.harness().checkRead(seed)).doesNotThrowAnyException());
  }

  @ParameterizedTest
  @FieldSource("EACH")
  void anExceptionIsCaught(Target target) {
    assertThatThrownBy(() ->
            target.with(_ -> {
              throw new IllegalStateException("planted");
            }))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("planted");
  }

  @ParameterizedTest
  @FieldSource("EACH")
  void anErrorIsCaught(Target target) {
    assertThatThrownBy(() -> target.with(_ -> sink = deeper(1)))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("StackOverflowError");
  }

  private static int deeper(int depth) {
    return depth == Integer.MAX_VALUE ? 0 : 1 + deeper(depth + 1) + Map.of(depth, depth).size();
  }

  @ParameterizedTest
  @FieldSource("EACH")
  void aMessageThatNamesNoFileIsCaught(Target target) {
    assertThatThrownBy(() ->
            target.with(_ -> {
              throw new InvalidInputException("something is wrong");
            }))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("does not name " + target.harness().file());
  }

  @ParameterizedTest
  @FieldSource("EACH")
  void aHangIsCaught(Target target) {
    CountDownLatch never = new CountDownLatch(1);
    assertThatThrownBy(() ->
            target.with(
                _ -> {
                  try {
                    never.await();
                  } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                  }
                },
                Duration.ofSeconds(1)))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("still reading after PT1S");
  }

  @ParameterizedTest
  @FieldSource("EACH")
  void heapIsCaught(Target target) {
    assertThatThrownBy(() -> target.with(_ -> sink = new byte[(int) Harness.MOST_BYTES]))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("heapBytes");
    sink = null;
  }

  @ParameterizedTest
  @FieldSource("EACH")
  void garbageIsCaught(Target target) {
    assertThatThrownBy(() ->
            target.with(_ -> {
              for (int i = 0; i < 65; i++) {
                sink = new byte[1 << 20];
              }
            }))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("heapBytes");
  }

  @ParameterizedTest
  @FieldSource("EACH")
  void memoryBesideTheHeapIsCaught(Target target) {
    Assumptions.assumeTrue(ResidentMemory.isKnown(), "skipped: no /proc that tells it");
    assertThatThrownBy(() ->
            target.with(_ -> {
              try (Arena arena = Arena.ofConfined()) {
                arena.allocate(Harness.MOST_BYTES + (8 << 20)); // zeroed, so it is there
              }
            }))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("otherBytes");
  }
}
