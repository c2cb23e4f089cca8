package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.DeviceInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.node.ObjectNode;

class RunFolderTest {
  @TempDir Path folder;

  private static Fingerprint fingerprint(String modelHash, int maxLoss, String commit) {
    return new Fingerprint(
        "optimize",
        "models/tiny",
        modelHash,
        RunJson.mapper().createObjectNode().put("max_loss_percent", maxLoss),
        7,
        "cpu",
        "no GPU",
        new DeviceInfo("a processor", 1L << 33, 2, "avx2"),
        Optional.empty(),
        new Machine("host", "a processor", 2, 1L << 33, "Linux", "25"),
        new BuildVersion("0.1.0", Optional.of(commit)),
        "2026-01-02T03:04:05Z");
  }

  private static ObjectNode sample(int i) {
    return RunJson.mapper().createObjectNode().put("i", i);
  }

  @Test
  void whatIsWrittenIsReadBack() {
    Fingerprint mine = fingerprint("aa", 2, "c1");
    Path run = folder.resolve("deep/run");
    try (RunFolder created = RunFolder.create(run, mine)) {
      created.append(sample(1));
      assertThat(RunFolder.readSamples(run)).containsExactly(sample(1));
      created.append(sample(2));
      created.results(RunJson.mapper().createObjectNode().put("tokens_per_second", 12.5));
      created.writeWhole("report.md", "text".getBytes(StandardCharsets.UTF_8));
    }
    assertThat(RunFolder.readFingerprint(run)).isEqualTo(mine);
    assertThat(RunFolder.readSamples(run)).containsExactly(sample(1), sample(2));
    assertThat(RunFolder.readResults(run).orElseThrow().get("tokens_per_second").asDouble())
        .isEqualTo(12.5);
    assertThat(run.resolve("report.md")).hasContent("text");
  }

  @Test
  void aSampleThatWasCutOffIsDroppedAndTheRunGoesOn() throws IOException {
    Fingerprint mine = fingerprint("aa", 2, "c1");
    Path run = folder.resolve("run");
    try (RunFolder created = RunFolder.create(run, mine)) {
      created.append(sample(1));
      created.append(sample(2));
    }
    Files.writeString(run.resolve("samples.jsonl"), "{\"i\":3", StandardOpenOption.APPEND);
    assertThat(RunFolder.readSamples(run)).containsExactly(sample(1), sample(2));
    try (RunFolder resumed = RunFolder.resume(run, mine)) {
      assertThat(resumed.droppedBytes()).isEqualTo(6);
      resumed.append(sample(4));
      assertThat(resumed.samples()).containsExactly(sample(1), sample(2), sample(4));
    }
    try (RunFolder again = RunFolder.resume(run, mine)) {
      assertThat(again.droppedBytes()).isZero();
    }
  }

  @Test
  void aTornLineLongerThanABlockIsFoundToo() throws IOException {
    Fingerprint mine = fingerprint("aa", 2, "c1");
    Path run = folder.resolve("run");
    try (RunFolder created = RunFolder.create(run, mine)) {
      created.append(sample(1));
    }
    Files.writeString(run.resolve("samples.jsonl"), "x".repeat(200_000), StandardOpenOption.APPEND);
    try (RunFolder resumed = RunFolder.resume(run, mine)) {
      assertThat(resumed.droppedBytes()).isEqualTo(200_000);
      assertThat(resumed.samples()).containsExactly(sample(1));
    }
  }

  @Test
  void aBrokenLineInTheMiddleIsAnErrorThatNamesIt() throws IOException {
    Path run = folder.resolve("run");
    RunFolder.create(run, fingerprint("aa", 2, "c1")).close();
    Files.writeString(run.resolve("samples.jsonl"), "{\"i\":1}\n{\"i\":2,\"i\":3}\n{\"i\":4}\n");
    assertThatThrownBy(() -> RunFolder.readSamples(run))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("samples.jsonl line 2")
        .hasMessageContaining("Duplicate");
  }

  @Test
  void resumingSaysWhatDiffers() {
    Path run = folder.resolve("run");
    RunFolder.create(run, fingerprint("aa", 2, "c1")).close();
    assertThatThrownBy(() -> RunFolder.resume(run, fingerprint("bb", 3, "c1")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("model_hash was aa and is now bb")
        .hasMessageContaining(
            "recipe was {\"max_loss_percent\":2} and is now {\"max_loss_percent\":3}");
    try (RunFolder resumed = RunFolder.resume(run, fingerprint("aa", 2, "c2"))) {
      assertThat(resumed.differences())
          .extracting(Object::toString)
          .containsExactly("lathe.commit was c1 and is now c2");
    }
  }

  @Test
  void aFolderThatIsNoRunIsRefusedAndLeftAlone() throws IOException {
    Files.writeString(folder.resolve("thesis.tex"), "mine");
    assertThatThrownBy(() -> RunFolder.create(folder, fingerprint("aa", 2, "c1")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("exists and is not a run");
    assertThatThrownBy(() -> RunFolder.resume(folder, fingerprint("aa", 2, "c1")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("is not a run");
    try (Stream<Path> entries = Files.list(folder)) {
      assertThat(entries).containsExactly(folder.resolve("thesis.tex"));
    }
  }

  @Test
  void aRunIsNotStartedOverARun() {
    Path run = folder.resolve("run");
    RunFolder.create(run, fingerprint("aa", 2, "c1")).close();
    assertThatThrownBy(() -> RunFolder.create(run, fingerprint("aa", 2, "c1")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("holds a run already");
  }

  @Test
  void twoWritersAtOnceAreRefused() {
    Path run = folder.resolve("run");
    Fingerprint mine = fingerprint("aa", 2, "c1");
    try (RunFolder first = RunFolder.create(run, mine)) {
      assertThatThrownBy(() -> RunFolder.resume(run, mine))
          .isInstanceOf(LatheException.class)
          .hasMessageContaining("another run is writing");
      first.append(sample(1));
    }
    assertThat(RunFolder.readSamples(run)).hasSize(1);
  }

  @Test
  void aFileThatCannotBeWrittenWholeLeavesTheOldOneAndNoOther() throws IOException {
    Path run = folder.resolve("run");
    try (RunFolder created = RunFolder.create(run, fingerprint("aa", 2, "c1"))) {
      Files.createDirectories(run.resolve("report.html/full"));
      byte[] page = "page".getBytes(StandardCharsets.UTF_8);
      assertThatThrownBy(() -> created.writeWhole("report.html", page))
          .isInstanceOf(LatheException.class)
          .hasMessageContaining("report.html: cannot be written");
      try (Stream<Path> entries = Files.list(run)) {
        assertThat(entries.map(path -> path.getFileName().toString()))
            .containsExactlyInAnyOrder("run.json", "samples.jsonl", "report.html");
      }
      for (String name : List.of("../out", "a/b", "run.json", "samples.jsonl", "")) {
        assertThatThrownBy(() -> created.writeWhole(name, page))
            .isInstanceOf(IllegalArgumentException.class);
      }
    }
  }

  @Test
  void anUnknownKeyInTheFingerprintIsAnError() throws IOException {
    Path run = folder.resolve("run");
    RunFolder.create(run, fingerprint("aa", 2, "c1")).close();
    Path file = run.resolve("run.json");
    Files.writeString(
        file, Files.readString(file).replaceFirst("\\{", "{ \"model_hsh\" : \"aa\","));
    assertThatThrownBy(() -> RunFolder.readFingerprint(run))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("run.json")
        .hasMessageContaining("model_hsh");
  }

  @Test
  void theDefaultPlaceNamesVerbModelAndTimeAndIsNew() throws IOException {
    Clock clock = Clock.fixed(Instant.parse("2026-03-04T05:06:07Z"), ZoneOffset.UTC);
    assertThat(RunFolder.defaultPath("bench", "../models/tiny b/", clock))
        .isEqualTo(Path.of("runs/bench-tiny_b-20260304-050607"));
    Files.createDirectories(folder.resolve("bench-x-20260304-050607"));
    assertThat(RunFolder.defaultPath(folder, "bench", "x", clock))
        .isEqualTo(folder.resolve("bench-x-20260304-050607-2"));
  }

  @Test
  void theMachineAndTheBuildAreKnownHere() {
    Machine here = Machine.here();
    assertThat(here.cores()).isPositive();
    assertThat(here.memoryBytes()).isGreaterThan(1L << 28);
    assertThat(here.cpu()).isNotBlank();
    assertThat(BuildVersion.running().commit().orElse("0".repeat(40))).matches("[0-9a-f]{40}");
  }

  @Test
  void theCommitOfACheckoutIsFoundLooseAndPacked() throws IOException {
    Path classes = Files.createDirectories(folder.resolve("java/target/classes"));
    Path git = Files.createDirectories(folder.resolve(".git/refs/heads")).getParent().getParent();
    Files.writeString(git.resolve("HEAD"), "ref: refs/heads/main\n");
    assertThat(BuildVersion.commitOf(classes)).isEmpty();
    String packed = "b".repeat(40);
    Files.writeString(git.resolve("packed-refs"), "# pack-refs\n" + packed + " refs/heads/main\n");
    assertThat(BuildVersion.commitOf(classes)).contains(packed);
    Files.writeString(git.resolve("refs/heads/main"), "a".repeat(40) + "\n");
    assertThat(BuildVersion.commitOf(classes)).contains("a".repeat(40));
  }
}
