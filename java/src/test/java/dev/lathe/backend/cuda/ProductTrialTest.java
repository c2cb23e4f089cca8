package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.DeviceTimer;
import dev.lathe.backend.OutOfDeviceMemoryException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ProductTrialTest {
  private final List<String> log = new ArrayList<>();
  private long nanos;

  /** Time goes on by what is multiplied, and nothing else. */
  private final class Clock implements DeviceTimer {
    private long started;

    @Override
    public void start() {
      log.add("start");
      started = nanos;
    }

    @Override
    public long stopNanos() {
      log.add("stop");
      return nanos - started;
    }

    @Override
    public void close() {
      log.add("closed");
    }
  }

  private final class Fill implements ProductTrial.Flush {
    @Override
    public void fill() {
      log.add("fill");
      nanos += 1_000_000;
    }

    @Override
    public void close() {
      log.add("given back");
    }
  }

  private Runnable takes(String name, long... each) {
    int[] run = new int[1];
    return () -> {
      log.add(name);
      nanos += each[Math.min(run[0]++, each.length - 1)];
    };
  }

  /**
   * Cold weights: whatever was in the cache is replaced before each timed run, outside the time.
   */
  @Test
  void everyTimedRunIsColdAndTheFirstOfEachIsNotCounted() {
    try (ProductTrial trial = new ProductTrial(new Clock(), Fill::new)) {
      ProductTrial.Times times = trial.time(takes("own", 1, 40, 30, 50), takes("cublas", 2, 70));
      assertThat(times).isEqualTo(new ProductTrial.Times(30, 70));
    }
    assertThat(log.subList(0, 2)).containsExactly("own", "cublas");
    List<String> turn = List.of("fill", "start", "own", "stop", "fill", "start", "cublas", "stop");
    for (int i = 0; i < 5; i++) {
      assertThat(log.subList(2 + i * turn.size(), 2 + (i + 1) * turn.size())).isEqualTo(turn);
    }
    assertThat(log.subList(2 + 5 * turn.size(), log.size()))
        .containsExactly("given back", "closed");
  }

  @Test
  void withoutMemoryNothingRuns() {
    try (ProductTrial trial =
        new ProductTrial(
            new Clock(),
            () -> {
              throw new OutOfDeviceMemoryException("no memory", 5);
            })) {
      assertThatThrownBy(() -> trial.time(takes("own", 1), takes("cublas", 1)))
          .isInstanceOf(OutOfDeviceMemoryException.class);
    }
    assertThat(log).containsExactly("closed");
  }
}
