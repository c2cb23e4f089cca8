package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.DeviceInfo;
import dev.lathe.measure.Fingerprint.Difference;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Each fact that figures depend on is compared; only those that do not mix keep a run apart. */
class FingerprintTest {
  /** One fact changed; an empty key changes nothing. */
  private static Fingerprint changed(String key) {
    return new Fingerprint(
        key.equals("verb") ? "bench" : "optimize",
        "models/tiny",
        key.equals("model_hash") ? "bb" : "aa",
        RunJson.mapper().createObjectNode().put("max_loss_percent", key.equals("recipe") ? 3 : 2),
        key.equals("seed") ? 8 : 7,
        key.equals("backend") ? "cuda" : "cpu",
        key.equals("") ? "another wording" : "no GPU",
        new DeviceInfo(
            key.equals("device") ? "another processor" : "a processor",
            1L << 33,
            key.equals("device.threads") ? 3 : 2,
            key.equals("device.features") ? "avx512" : "avx2"),
        key.equals("driver") ? Optional.of("580") : Optional.empty(),
        new Machine(
            key.equals("machine.host") ? "other" : "host",
            key.equals("machine.cpu") ? "another processor" : "a processor",
            key.equals("machine.cores") ? 3 : 2,
            1L << 33,
            key.equals("machine.os") ? "BSD" : "Linux",
            key.equals("machine.jdk") ? "26" : "25"),
        new BuildVersion(
            key.equals("lathe.version") ? "0.2.0" : "0.1.0",
            Optional.of(key.equals("lathe.commit") ? "c2" : "c1")),
        key.equals("") ? "2026-01-02T04:04:05Z" : "2026-01-02T03:04:05Z");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "verb",
        "model_hash",
        "recipe",
        "seed",
        "backend",
        "device",
        "device.features",
        "device.threads",
        "machine.cpu",
        "machine.cores",
        "lathe.version"
      })
  void factsThatSamplesDependOnKeepRunsApart(String key) {
    List<Difference> found = changed("nothing").differences(changed(key));
    assertThat(found).extracting(Difference::key).containsExactly(key);
    assertThat(found).allMatch(Difference::mixing);
  }

  @ParameterizedTest
  @ValueSource(strings = {"lathe.commit", "driver", "machine.host", "machine.os", "machine.jdk"})
  void otherFactsAreToldAndDoNot(String key) {
    List<Difference> found = changed("nothing").differences(changed(key));
    assertThat(found).extracting(Difference::key).containsExactly(key);
    assertThat(found).noneMatch(Difference::mixing);
  }

  @Test
  void wordsAndTheTimeOfTheStartAreNoDifference() {
    assertThat(changed("nothing").differences(changed(""))).isEmpty();
  }
}
