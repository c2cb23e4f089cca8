package dev.lathe.backend;

import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;

/**
 * What every backend must pass: each operation against the reference, over the shapes where kernels
 * break. A backend's test extends this and says how it is opened:
 *
 * <pre>{@code
 * final class CpuConformanceTest extends BackendConformance {
 *   @Override
 *   protected Backend open() {
 *     return CpuBackend.open(2);
 *   }
 * }
 * }</pre>
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
public abstract class BackendConformance {
  private Backend backend;

  protected abstract Backend open();

  /** How much the backend rounds activations for a product with a weight (no stack). */
  protected LinearChecks.Rounding activationRounding(Weight weight, int tokens) {
    return LinearChecks.Rounding.NONE;
  }

  /**
   * How much the backend rounds queries and probabilities beside a cache of this type and shape.
   */
  protected double attentionRounding(DType cacheType, AttentionShape shape, int pageSize) {
    return 0;
  }

  /** What the backend's attention over an INT8 cache adds to the error of F32. */
  protected double int8AttentionError(
      AttentionShape shape, int pageSize, double largestScore, double largestValue) {
    return 0;
  }

  /** For {@link #int8AttentionError}: {@link Tolerance#integerAttention}. */
  protected static double integerAttention(
      int headDim, long shared, double largestScore, double largestValue) {
    return Tolerance.integerAttention(headDim, shared, largestScore, largestValue);
  }

  @BeforeAll
  void openBackend() {
    backend = open();
  }

  @AfterAll
  void closeBackend() {
    if (backend != null) {
      backend.close();
    }
  }

  @Test
  void memory() {
    ElementwiseChecks.memory(backend);
  }

  @TestFactory
  Stream<DynamicTest> embed() {
    return Arrays.stream(WeightCases.values())
        .map(format -> dynamicTest(format.name(), () -> LinearChecks.embed(backend, format)));
  }

  @TestFactory
  Stream<DynamicTest> linear() {
    return Arrays.stream(WeightCases.values())
        .map(format ->
            dynamicTest(
                format.name(),
                () -> LinearChecks.linear(backend, format, this::activationRounding)));
  }

  @TestFactory
  Stream<DynamicTest> normLinear() {
    return Arrays.stream(WeightCases.values())
        .map(format ->
            dynamicTest(
                format.name(),
                () -> FusedChecks.normLinear(backend, format, this::activationRounding)));
  }

  @TestFactory
  Stream<DynamicTest> normLinearGate() {
    return Arrays.stream(WeightCases.values())
        .map(format ->
            dynamicTest(
                format.name(),
                () -> FusedChecks.normLinearGate(backend, format, this::activationRounding)));
  }

  @Test
  void rmsNorm() {
    ElementwiseChecks.rmsNorm(backend);
  }

  @Test
  void rotateAndAppend() {
    AttentionChecks.rotateAndAppend(backend);
  }

  @Test
  void attention() {
    AttentionChecks.attention(backend, this::attentionRounding);
  }

  @Test
  void attentionWithinAWindowAndWithCappedScores() {
    AttentionChecks.limitedAttention(backend, this::attentionRounding);
  }

  @Test
  void append() {
    AttentionChecks.append(backend);
  }

  @Test
  void attentionOverInt8() {
    assumeTrue(backend.cacheTypes().contains(DType.I8), "no INT8 cache");
    Int8CacheChecks.attention(backend, this::int8AttentionError);
  }

  @Test
  void rotateAndAppendAsInt8() {
    assumeTrue(backend.cacheTypes().contains(DType.I8), "no INT8 cache");
    Int8CacheChecks.rotateAndAppend(backend, this::int8AttentionError);
  }

  @TestFactory
  Stream<DynamicTest> addEmbedding() {
    return Arrays.stream(WeightCases.values())
        .map(format ->
            dynamicTest(format.name(), () -> VariantChecks.addEmbedding(backend, format)));
  }

  @Test
  void scale() {
    VariantChecks.scale(backend);
  }

  @Test
  void addRmsNorm() {
    VariantChecks.addRmsNorm(backend);
  }

  @Test
  void layerNorm() {
    VariantChecks.layerNorm(backend);
  }

  @Test
  void normHeads() {
    VariantChecks.normHeads(backend);
  }

  @Test
  void activate() {
    VariantChecks.activate(backend);
  }

  @Test
  void softCap() {
    VariantChecks.softCap(backend);
  }

  @Test
  void gate() {
    ElementwiseChecks.gate(backend);
  }

  @Test
  void gatherRows() {
    ElementwiseChecks.gatherRows(backend);
  }

  @Test
  void argmax() {
    ElementwiseChecks.argmax(backend);
  }

  @Test
  void sample() {
    SamplingChecks.sample(backend);
    SamplingChecks.wrongCallsAreRefused(backend);
  }

  @Test
  void wrongShapesAreRefused() {
    ShapeChecks.wrongShapesAreRefused(backend);
  }
}
