package dev.lathe.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FiguresTest {
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "0 | 0",
        "0.01234 | 0.0123",
        "1 | 1.00",
        "4.5 | 4.50",
        "9.996 | 10.0",
        "99.95 | 100",
        "12345.6 | 12,346",
        "-3.14159 | -3.14",
        "1e-7 | 0.000000100",
        "NaN | not a number",
        "Infinity | infinite"
      })
  void threeSignificantDigitsAndNoExponent(double value, String text) {
    assertThat(Figures.number(value)).isEqualTo(text);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "0 | 0 %",
        "0.0832 | +0.083 %",
        "-0.0412 | −0.041 %",
        "1.5 | +1.50 %",
        "35.04 | +35.0 %",
        "905.1 | +905 %",
        "0.0001 | ±0.000 %"
      })
  void changesHaveASign(double percent, String text) {
    assertThat(Figures.change(percent)).isEqualTo(text);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "0 | 0 B",
        "999 | 999 B",
        "1000 | 1.00 kB",
        "277672 | 278 kB",
        "999600 | 1.00 MB",
        "2500000000 | 2.50 GB"
      })
  void bytesInDecimalUnits(long bytes, String text) {
    assertThat(Figures.bytes(bytes)).isEqualTo(text);
  }

  @Test
  void whatIsAbsentIsNotZero() {
    assertThat(Figures.orNotMeasured(OptionalDouble.empty(), Figures::number))
        .isEqualTo("not measured");
  }

  @Test
  void ratiosSayWhichWay() {
    assertThat(Figures.ratio(2, "smaller", "larger")).isEqualTo("2.00× smaller");
    assertThat(Figures.ratio(0.5, "smaller", "larger")).isEqualTo("2.00× larger");
    assertThat(Figures.ratio(1.001, "smaller", "larger")).isEqualTo("the same");
  }
}
