package dev.lathe.backend.cuda;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Which kernels multiply, by shape: own ones or cuBLAS. How exactly activations are multiplied
 * follows from the weight's format and the number of rows alone ({@link Precision}); among kernels
 * that do it so a rule decides until both were measured for a shape, and from then on the faster
 * one runs. So what is measured changes no more than the order of sums in F32. Each decision is
 * kept with its reason.
 */
final class Dispatcher {
  private static final Logger log = LoggerFactory.getLogger(Dispatcher.class);

  /**
   * Rows up to which reading the weights is what takes time, where a second part of activations
   * costs nothing, and own kernels should read at least as fast.
   */
  static final int FEW_ROWS = 64;

  /** Rows up to which activations beside 16-bit weights are multiplied as they are. */
  static final int EXACT_ROWS = 8;

  /** What activations are multiplied as. */
  enum Precision {
    /** As they are. */
    F32,
    /** Two numbers of 16 bits, the second what the first leaves: 16 digits and more. */
    TWO_PARTS,
    /** Rounded to the 16-bit type of the weight. */
    ROUNDED,
    /** As {@link dev.lathe.tensor.ActivationFormat#INT8}, because the weight says so: W8A8. */
    INT8
  }

  enum Choice {
    OWN,
    CUBLAS
  }

  /** What runs, how exactly, and why. */
  record Decision(Choice choice, Precision precision, String reason) {}

  /**
   * A product [rows, inputs] x [outputs, inputs]^T.
   *
   * @param format of the weight, as {@code Weight.format()} names it
   */
  record Product(String format, long rows, long outputs, long inputs) {
    boolean isW8A8() {
      return format.equals("w8a8");
    }

    boolean is16Bit() {
      return format.equals("bf16") || format.equals("f16");
    }

    /** The same on every device and in every process. */
    Precision precision() {
      if (isW8A8()) {
        return Precision.INT8;
      }
      if (!is16Bit()) {
        return Precision.F32;
      }
      return rows <= EXACT_ROWS
          ? Precision.F32
          : rows <= FEW_ROWS ? Precision.TWO_PARTS : Precision.ROUNDED;
    }

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
    Optional<String> onlyOwn = whyOnlyOwn(product);
    if (onlyOwn.isPresent()) {
      return decision(product, Choice.OWN, onlyOwn.get());
    }
    if (product.precision() == Precision.ROUNDED) {
      return decision(
          product,
          Choice.CUBLAS,
          "more than %d rows are rounded to the weight's type, as own kernels don't"
              .formatted(FEW_ROWS));
    }
    return product.rows() <= FEW_ROWS
        ? decision(product, Choice.OWN, "at most %d rows".formatted(FEW_ROWS))
        : decision(product, Choice.CUBLAS, "more than %d rows".formatted(FEW_ROWS));
  }

  private static Decision decision(Product product, Choice choice, String reason) {
    return new Decision(choice, product.precision(), reason);
  }

  /** Why cuBLAS doesn't multiply this, in this precision; empty where it does. */
  private Optional<String> whyOnlyOwn(Product product) {
    if (product.isW8A8()) {
      return Optional.of("the model's activations are INT8, quantized by own kernels (W8A8)");
    }
    if (!product.is16Bit() && !product.format().equals("f32")) {
      return Optional.of("cuBLAS does not multiply F32 by %s weights".formatted(product.format()));
    }
    if (whyNoCublas.isPresent()) {
      return whyNoCublas;
    }
    if (product.is16Bit() && product.precision() == Precision.F32) {
      return Optional.of("activations of at most %d rows are not rounded".formatted(EXACT_ROWS));
    }
    if (product.format().equals("f16") && product.precision() == Precision.TWO_PARTS) {
      return Optional.of("cuBLAS would take activations in F16, which ends at 65504");
    }
    return Optional.empty();
  }

  /** Whether both could multiply this equally well, and nobody has measured which is faster. */
  boolean isOpen(Product product) {
    return whyOnlyOwn(product).isEmpty()
        && product.precision() != Precision.ROUNDED
        && !decisions.containsKey(product.bucket());
  }

  /** The faster one from now on, for shapes of the same bucket. */
  void measured(Product product, double ownNanos, double cublasNanos) {
    Choice faster = ownNanos <= cublasNanos ? Choice.OWN : Choice.CUBLAS;
    decide(
        product.bucket(),
        decision(
            product,
            faster,
            "measured: %.1f us by own kernels, %.1f us by cuBLAS"
                .formatted(ownNanos / 1e3, cublasNanos / 1e3)));
  }

  /** The rule decides for good, because it could not be measured. */
  void unmeasured(Product product, String why) {
    Decision rule = rule(product);
    decide(product.bucket(), decision(product, rule.choice(), rule.reason() + "; " + why));
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
