package dev.lathe.backend.cuda;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Which kernels multiply, by shape: own ones or cuBLAS. A rule decides until both were measured for
 * a shape; from then on the faster one runs. Each decision is kept with its reason.
 */
final class Dispatcher {
  private static final Logger log = LoggerFactory.getLogger(Dispatcher.class);

  /**
   * Rows up to which reading the weights is what takes time, where own kernels read at least as
   * fast.
   */
  static final int FEW_ROWS = 64;

  /**
   * Rows up to which activations are not rounded to the type of 16-bit weights, as cuBLAS wants.
   */
  static final int EXACT_ROWS = 8;

  enum Choice {
    OWN,
    CUBLAS
  }

  /** What runs, and why. */
  record Decision(Choice choice, String reason) {}

  /**
   * A product [rows, inputs] x [outputs, inputs]^T.
   *
   * @param format of the weight, as {@code Weight.format()} names it
   */
  record Product(String format, long rows, long outputs, long inputs) {
    /** Shapes that are decided on together: rows up to the next power of two. */
    Product bucket() {
      long up = rows <= 1 ? 1 : 2 * Long.highestOneBit(rows - 1);
      return new Product(format, up, outputs, inputs);
    }

    @Override
    public String toString() {
      return "%s [%d, %d] x [%d, %d]^T".formatted(format, rows, inputs, outputs, inputs);
    }
  }

  private final Optional<String> whyNoCublas;
  private final Map<Product, Decision> decisions = new LinkedHashMap<>();

  /**
   * @param whyNoCublas empty where cuBLAS can be used
   */
  Dispatcher(Optional<String> whyNoCublas) {
    this.whyNoCublas = whyNoCublas;
  }

  Decision choose(Product product) {
    Product bucket = product.bucket();
    Decision known = decisions.get(bucket);
    if (known == null) {
      known = rule(product);
      decide(bucket, known);
    }
    return known;
  }

  private Decision rule(Product product) {
    if (!cublasMultiplies(product.format())) {
      return new Decision(
          Choice.OWN, "cuBLAS does not multiply F32 by %s weights".formatted(product.format()));
    }
    if (whyNoCublas.isPresent()) {
      return new Decision(Choice.OWN, whyNoCublas.get());
    }
    if (mustBeExact(product)) {
      return new Decision(
          Choice.OWN, "activations of at most %d rows are not rounded".formatted(EXACT_ROWS));
    }
    return product.rows() <= FEW_ROWS
        ? new Decision(Choice.OWN, "at most %d rows".formatted(FEW_ROWS))
        : new Decision(Choice.CUBLAS, "more than %d rows".formatted(FEW_ROWS));
  }

  private static boolean mustBeExact(Product product) {
    return product.rows() <= EXACT_ROWS && !product.format().equals("f32");
  }

  private static boolean cublasMultiplies(String format) {
    return format.equals("f32") || format.equals("bf16") || format.equals("f16");
  }

  /** Whether both could multiply this, and nobody has measured which is faster. */
  boolean isOpen(Product product) {
    return whyNoCublas.isEmpty()
        && cublasMultiplies(product.format())
        && !mustBeExact(product)
        && !decisions.containsKey(product.bucket());
  }

  /** The faster one from now on, for shapes of the same bucket. */
  void measured(Product product, double ownNanos, double cublasNanos) {
    Choice faster = ownNanos <= cublasNanos ? Choice.OWN : Choice.CUBLAS;
    decide(
        product.bucket(),
        new Decision(
            faster,
            "measured: %.1f us by own kernels, %.1f us by cuBLAS"
                .formatted(ownNanos / 1e3, cublasNanos / 1e3)));
  }

  private void decide(Product bucket, Decision decision) {
    decisions.put(bucket, decision);
    log.debug("{}: {}, {}", bucket, decision.choice(), decision.reason());
  }

  /** Everything that was decided so far, in that order. */
  Map<Product, Decision> decisions() {
    return Collections.unmodifiableMap(decisions);
  }
}
