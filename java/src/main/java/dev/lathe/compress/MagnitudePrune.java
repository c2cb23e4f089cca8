package dev.lathe.compress;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.WeightFormat;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Drops the weights of smallest magnitude (Han et al. 2015, arXiv 1506.02626) and stores the rest
 * as bitmap and values, so that the file shrinks by what was dropped. Exactly {@code round((1 -
 * sparsity) n)} of n weights stay, fewer only where there are not that many other than 0; of equals
 * the earlier ones, so that the result does not depend on chance.
 *
 * <p>INT8 matrices are pruned by what their codes stand for, and stay INT8. A matrix whose bitmap
 * form would not be smaller than what it has stays as it is, and its result says so: zeros that do
 * not save a byte only cost quality.
 *
 * @param sparsity share of the weights that go, above 0 and below 1
 * @param scope whether each matrix loses that share, or all together
 * @param embeddingAndHead whether those are pruned too; else only linear layers are, and counted
 */
public record MagnitudePrune(double sparsity, Scope scope, boolean embeddingAndHead)
    implements Technique {
  public MagnitudePrune {
    if (!(sparsity > 0 && sparsity < 1)) {
      throw new IllegalArgumentException("a sparsity of " + sparsity + " is not between 0 and 1");
    }
  }

  /** Linear layers only. */
  public MagnitudePrune(double sparsity, Scope scope) {
    this(sparsity, scope, false);
  }

  @Override
  public String name() {
    return "prune %s %%%s".formatted(percent(), scope == Scope.GLOBAL ? " global" : "");
  }

  @Override
  public String description() {
    return "prune unstructured magnitude sparsity=%s scope=%s%s"
        .formatted(
            sparsity,
            scope.name().toLowerCase(Locale.ROOT),
            embeddingAndHead ? " with embedding and head" : "");
  }

  private String percent() {
    return new java.math.BigDecimal(Double.toString(sparsity))
        .movePointRight(2)
        .stripTrailingZeros()
        .toPlainString();
  }

  @Override
  public CompressionResult apply(Checkpoint in, Path out, Progress progress) {
    return Rewrite.run(
        in,
        out,
        description(),
        progress,
        () -> {
          Map<String, Selection.Cut> cuts = cuts(in, progress);
          return (matrix, rows) ->
              plan(matrix, rows, Optional.ofNullable(cuts.get(matrix.module())));
        });
  }

  private static Rewrite.Plan plan(
      Contents.Matrix matrix, FiniteRows rows, Optional<Selection.Cut> found) {
    if (found.isEmpty()) {
      return new Rewrite.Plan.Keep("embedding and head are not pruned");
    }
    Selection.Cut cut = found.get();
    Weight weight = rows.weight();
    return new Rewrite.Plan.Replace(
        WeightFormat.bitmap(
            matrix.module(),
            weight.rows(),
            weight.cols(),
            cut.kept(),
            Bitmaps.valueType(weight),
            Bitmaps.scales(weight).map(Tensor::dtype),
            Bitmaps.zeroPoints(weight).isPresent()),
        memory -> Bitmaps.cut(rows, cut, memory));
  }

  /**
   * The modules of the matrices that this prunes, in the order of the file.
   *
   * @throws InvalidInputException if one of them is INT8 with several scales a row
   */
  public List<String> modules(Checkpoint in) {
    return pruned(in).stream().map(Contents.Matrix::module).toList();
  }

  private List<Contents.Matrix> pruned(Checkpoint in) {
    List<Contents.Matrix> pruned =
        Contents.matrices(in).stream()
            .filter(matrix -> embeddingAndHead || !matrix.isEmbeddingOrHead())
            .toList();
    pruned.forEach(matrix -> requireOneScaleARow(in, matrix));
    return pruned;
  }

  /** For each matrix that is to be pruned, what of it stays. */
  Map<String, Selection.Cut> cuts(Checkpoint in, Progress progress) {
    List<Contents.Matrix> pruned = pruned(in);
    Reader reader = new Reader(in, progress, scope == Scope.GLOBAL ? pruned : List.of());
    return scope == Scope.GLOBAL ? global(reader, pruned) : byLayer(in, reader, pruned);
  }

  private Map<String, Selection.Cut> byLayer(
      Checkpoint in, Reader reader, List<Contents.Matrix> pruned) {
    Map<String, Selection.Cut> cuts = new HashMap<>();
    long total = pruned.stream().mapToLong(Contents.Part::bytes).sum();
    long done = 0;
    for (Contents.Matrix matrix : pruned) {
      Weight weight = in.weight(matrix.module());
      long kept = kept(Math.multiplyExact(weight.rows(), weight.cols()));
      cuts.put(matrix.module(), Selection.largest(kept, to -> reader.read(matrix, to)));
      done += matrix.bytes();
      reader.progress.update("choosing weights", done, total);
    }
    return cuts;
  }

  /** One cut for all, then shared out: what is equal to the threshold goes to whom comes first. */
  private Map<String, Selection.Cut> global(Reader reader, List<Contents.Matrix> pruned) {
    long weights = 0;
    for (Contents.Matrix matrix : pruned) {
      Weight weight = reader.in.weight(matrix.module());
      weights = Math.addExact(weights, Math.multiplyExact(weight.rows(), weight.cols()));
    }
    Selection.Cut all = Selection.largest(kept(weights), reader::readAll);
    Map<String, Selection.Cut> cuts = new HashMap<>();
    long equalLeft = all.equal();
    for (Contents.Matrix matrix : pruned) {
      Count count = new Count(all);
      reader.read(matrix, count);
      long equal = Math.min(equalLeft, count.equal);
      equalLeft -= equal;
      cuts.put(matrix.module(), new Selection.Cut(all.thresholdBits(), equal, count.above + equal));
    }
    return cuts;
  }

  private long kept(long weights) {
    return Math.round((1 - sparsity) * weights);
  }

  private static void requireOneScaleARow(Checkpoint in, Contents.Matrix matrix) {
    if (in.weight(matrix.module()) instanceof Weight.Int8 int8 && int8.scales().size(1) != 1) {
      throw new InvalidInputException(
          "%s: %s is INT8 with %d scales a row; a pruned matrix has one: prune first and quantize"
                  .formatted(in.path(), matrix.module(), int8.scales().size(1))
              + " after, or quantize per channel");
    }
  }

  /** How many weights of a matrix are above a threshold, and how many are equal to it. */
  private static final class Count implements Selection.Magnitudes {
    private final Selection.Cut cut;
    private long above;
    private long equal;

    Count(Selection.Cut cut) {
      this.cut = cut;
    }

    @Override
    public void accept(double[] weights, int count) {
      for (int i = 0; i < count; i++) {
        if (cut.isAbove(weights[i])) {
          above++;
        } else if (cut.isEqual(weights[i])) {
          equal++;
        }
      }
    }
  }

  /** Reads matrices row by row, as often as asked. */
  private record Reader(Checkpoint in, Progress progress, List<Contents.Matrix> all) {

    void read(Contents.Matrix matrix, Selection.Magnitudes to) {
      FiniteRows rows = FiniteRows.of(in, matrix.module());
      int cols = Math.toIntExact(rows.weight().cols());
      for (long r = 0; r < rows.weight().rows(); r++) {
        to.accept(rows.read(r), cols);
      }
    }

    void readAll(Selection.Magnitudes to) {
      long total = all.stream().mapToLong(Contents.Part::bytes).sum();
      long done = 0;
      for (Contents.Matrix matrix : all) {
        read(matrix, to);
        done += matrix.bytes();
        progress.update("choosing weights", done, total);
      }
    }
  }
}
