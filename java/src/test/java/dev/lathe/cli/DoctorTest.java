package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

class DoctorTest {

  @Test
  void doctorSaysWhatRunsAndWhatNotAndWhy() {
    ObjectNode json = Run.lathe("doctor", "--json").json();
    for (JsonNode backend : json.get("backends")) {
      assertThat(List.copyOf(backend.propertyNames()))
          .contains(
              "name",
              "usable",
              "reason",
              "device",
              "memory_bytes",
              "peak_bandwidth_gbs",
              "peak_tflops");
      assertThat(backend.get("reason").stringValue()).isNotBlank();
    }
    assertThat(json.get("backends").valueStream().map(b -> b.get("name").stringValue()))
        .containsExactly("cuda", "cpu", "reference");
    assertThat(json.get("backends").get(1).get("usable").booleanValue()).isTrue();
    assertThat(json.get("tokenizer").get("usable").booleanValue()).isTrue();
    assertThat(json.get("native_build").has("cpu")).isTrue();
    assertThat(json.has("thread_round_trip_ns")).isTrue();
    // Nothing is said of sensors that the emulated GPU, on which tests run, doesn't have.
    assertThat(json.get("gpu").get("usable").booleanValue()).isFalse();
    assertThat(json.get("gpu").get("reason").stringValue()).contains("has no sensors");
    assertThat(json.get("gpu").has("power_milliwatts")).isFalse();
  }

  @Test
  void aReasonIsSaidOnce() {
    String reason =
        Run.lathe("doctor", "--json").json().get("backends").get(0).get("reason").stringValue();
    String[] parts = reason.split("[:;()] ?");
    assertThat(parts).doesNotHaveDuplicates();
  }

  @Test
  void whatItPrintsForPeopleNamesEveryBackend() {
    Run doctor = Run.lathe("doctor");
    assertThat(doctor.code()).isZero();
    assertThat(doctor.out().lines().map(line -> line.replaceFirst("^(?:ok|no) +(\\S+).*", "$1")))
        .contains("cuda", "cpu", "reference", "tokenizer", "build/cpu");
  }
}
