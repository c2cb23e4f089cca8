package dev.lathe.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.model.TinyModel;
import java.util.List;
import org.junit.jupiter.api.Test;

class GradualMaskTest {
  private static final String UP = "model.layers.0.mlp.up_proj";
  private static final String DOWN = "model.layers.1.mlp.down_proj";

  private final Parameters parameters = parameters();

  @Test
  void theShareRisesAlongTheCubic() {
    PruningSchedule schedule = schedule(0.5, false, 60, 10);
    assertThat(schedule.sparsityAt(0, 0)).isZero();
    // 0.5 - 0.5 (1 - 1/2)^3
    assertThat(schedule.sparsityAt(30, 0)).isCloseTo(0.4375, within(1e-12));
    assertThat(schedule.sparsityAt(30, 0.1)).isCloseTo(0.45, within(1e-12));
    assertThat(schedule.sparsityAt(60, 0)).isEqualTo(0.5);
    assertThat(schedule.sparsityAt(61, 0)).isEqualTo(0.5);
    assertThat(schedule.choosesAt(50)).isTrue();
    assertThat(schedule.choosesAt(55)).isFalse();
    assertThat(schedule.choosesAt(60)).isTrue();
    assertThat(schedule.choosesAt(70)).isFalse();
  }

  @Test
  void eachMatrixLosesExactlyItsShareAndTheOthersNothing() {
    GradualMask mask = new GradualMask(parameters, schedule(0.3, false, 4, 1));
    for (int step = 0; step <= 4; step++) {
      mask.before(step);
    }
    for (String module : List.of(UP, DOWN)) {
      int elements = parameters.entry(module + ".weight").elements();
      assertThat(elements - zeros(module)).isEqualTo(Math.round(0.7 * elements));
    }
    assertThat(mask.masks().zeros()).isEqualTo(zeros(UP) + zeros(DOWN));
    assertThat(zeros("model.layers.0.mlp.down_proj")).isZero();
  }

  @Test
  void togetherTheSmallestGoWhereverTheyAre() {
    Parameters.Entry up = parameters.entry(UP + ".weight");
    for (int i = 0; i < up.elements(); i++) {
      parameters.values()[up.offset() + i] *= 0.01f;
    }
    GradualMask mask = new GradualMask(parameters, schedule(0.5, true, 0, 1));
    mask.before(0);
    int all = up.elements() + parameters.entry(DOWN + ".weight").elements();
    assertThat(zeros(UP) + zeros(DOWN)).isEqualTo(all - Math.round(0.5 * all));
    assertThat(zeros(UP)).isGreaterThan((int) (0.9 * up.elements()));
  }

  @Test
  void ofEqualsTheEarlierStay() {
    Parameters.Entry up = parameters.entry(UP + ".weight");
    for (int i = 0; i < up.elements(); i++) {
      parameters.values()[up.offset() + i] = i % 2 == 0 ? 1 : -1;
    }
    new GradualMask(parameters, schedule(0.25, false, 0, 1)).before(0);
    int kept = (int) Math.round(0.75 * up.elements());
    assertThat(parameters.values()[up.offset() + kept - 1]).isNotZero();
    assertThat(parameters.values()[up.offset() + kept]).isZero();
  }

  @Test
  void whatWasCutComesBackWithItsValueWhereOthersHaveBecomeSmaller() {
    GradualMask mask = new GradualMask(parameters, schedule(0.5, false, 10, 5));
    float[] before = parameters.values().clone();
    mask.before(0); // the cubic begins at 0: nothing goes yet
    assertThat(mask.masks().zeros()).isZero();
    mask.before(5);
    Parameters.Entry up = parameters.entry(UP + ".weight");
    int cut = up.offset();
    while (parameters.values()[cut] != 0) {
      cut++;
    }
    for (int i = up.offset(); i < up.offset() + up.elements(); i++) {
      parameters.values()[i] *= 1e-3f; // as training might
    }
    mask.before(10);
    assertThat(parameters.values()[cut]).isEqualTo(before[cut]).isNotZero();
  }

  @Test
  void whatWasZeroBeforeStaysZeroWhereverItIs() {
    Parameters.Entry up = parameters.entry(UP + ".weight");
    Parameters.Entry other = parameters.entry("model.layers.0.mlp.gate_proj.weight");
    parameters.values()[up.offset() + 3] = 0;
    parameters.values()[other.offset() + 5] = 0;
    GradualMask mask = new GradualMask(parameters, schedule(0.1, false, 0, 1));
    mask.before(0);
    parameters.values()[up.offset() + 3] = 4;
    parameters.values()[other.offset() + 5] = 4;
    mask.masks().apply(parameters);
    assertThat(parameters.values()[up.offset() + 3]).isZero();
    assertThat(parameters.values()[other.offset() + 5]).isZero();
  }

  @Test
  void aMatrixThatIsNotThereIsRefused() {
    assertThatThrownBy(() ->
            new GradualMask(
                parameters, new PruningSchedule(List.of("model.norm"), 0.5, false, 0, 1)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("model.norm");
  }

  private static PruningSchedule schedule(double share, boolean together, int ramp, int every) {
    return new PruningSchedule(List.of(UP, DOWN), share, together, ramp, every);
  }

  private long zeros(String module) {
    Parameters.Entry entry = parameters.entry(module + ".weight");
    long zeros = 0;
    for (int i = entry.offset(); i < entry.offset() + entry.elements(); i++) {
      zeros += parameters.values()[i] == 0 ? 1 : 0;
    }
    return zeros;
  }

  private static Parameters parameters() {
    try (TinyModel model = new TinyModel(11)) {
      return Parameters.load(model);
    }
  }
}
