package dev.lathe.generate;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class StopMatcherTest {
  @Test
  void holdsBackWhatMayBecomeAStopText() {
    StopMatcher matcher = new StopMatcher(List.of("END", "\n\n"));
    assertThat(matcher.accept("abcE")).isEqualTo("abc");
    assertThat(matcher.accept("N")).isEmpty();
    assertThat(matcher.accept("x\n")).isEqualTo("ENx");
    assertThat(matcher.accept("y\n")).isEqualTo("\ny");
    assertThat(matcher.accept("\nz")).isEmpty();
    assertThat(matcher.isStopped()).isTrue();
    assertThat(matcher.accept("more")).isEmpty();
    assertThat(matcher.finish()).isEmpty();
  }

  @Test
  void takesTheStopTextThatBeginsFirst() {
    StopMatcher matcher = new StopMatcher(List.of("bcd", "ab"));
    assertThat(matcher.accept("xabcd")).isEqualTo("x");
  }

  @Test
  void releasesWhatItHeldWhenTheStreamEnds() {
    StopMatcher matcher = new StopMatcher(List.of("END"));
    assertThat(matcher.accept("so EN")).isEqualTo("so ");
    assertThat(matcher.finish()).isEqualTo("EN");
    assertThat(matcher.isStopped()).isFalse();
  }
}
