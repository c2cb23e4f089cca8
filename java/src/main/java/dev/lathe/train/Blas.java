package dev.lathe.train;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.openblas.global.openblas;

/**
 * Products of matrices in Java arrays by ND4J's OpenBLAS, called without copying ({@code
 * Linker.Option.critical}). While a {@link SingleThread} is open OpenBLAS runs each on the thread
 * that calls: training divides the batch between threads instead, and the same numbers come out
 * whatever the machine is busy with.
 */
final class Blas {
  private static final int ROW_MAJOR = 101;
  private static final int AS_IS = 111;
  private static final int TRANSPOSED = 112;

  private static final MethodHandle SGEMM = load();

  private Blas() {}

  /**
   * OpenBLAS on one thread until this is closed. It has one number of threads for the whole
   * process, which ND4J's products depend on too: the first that opens one notes the number, and
   * the last that closes one sets it again.
   */
  static final class SingleThread implements AutoCloseable {
    private static final Object LOCK = new Object();
    private static int open;
    private static int before;

    private boolean closed;

    private SingleThread() {}

    static SingleThread begin() {
      synchronized (LOCK) {
        if (open++ == 0) {
          before = openblas.blas_get_num_threads();
          openblas.blas_set_num_threads(1);
        }
      }
      return new SingleThread();
    }

    @Override
    public void close() {
      synchronized (LOCK) {
        if (!closed && --open == 0) {
          openblas.blas_set_num_threads(before);
        }
        closed = true;
      }
    }
  }

  private static MethodHandle load() {
    Loader.load(openblas.class);
    return Linker.nativeLinker()
        .downcallHandle(
            SymbolLookup.loaderLookup().findOrThrow("cblas_sgemm"),
            FunctionDescriptor.ofVoid(
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_FLOAT,
                ADDRESS,
                JAVA_INT,
                ADDRESS,
                JAVA_INT,
                JAVA_FLOAT,
                ADDRESS,
                JAVA_INT),
            Linker.Option.critical(true));
  }

  /**
   * A matrix in an array.
   *
   * @param offset of its first element
   * @param stride elements from a row to the next
   */
  record Matrix(float[] values, int offset, int rows, int cols, int stride, boolean transposed) {
    static Matrix of(float[] values, int rows, int cols) {
      return at(values, 0, rows, cols, cols);
    }

    static Matrix at(float[] values, int offset, int rows, int cols, int stride) {
      if (offset < 0 || cols > stride || offset + (rows - 1L) * stride + cols > values.length) {
        throw new IllegalArgumentException(
            "[%d, %d] with stride %d from %d on is not in an array of %d"
                .formatted(rows, cols, stride, offset, values.length));
      }
      return new Matrix(values, offset, rows, cols, stride, false);
    }

    /** The same elements read the other way round. */
    Matrix t() {
      return new Matrix(values, offset, /* rows= */ cols, /* cols= */ rows, stride, !transposed);
    }

    private MemorySegment memory() {
      return MemorySegment.ofArray(values).asSlice(4L * offset);
    }
  }

  /** {@code out = a b}. */
  static void store(Matrix out, Matrix a, Matrix b) {
    multiply(out, 1, a, b, 0);
  }

  /** {@code out += a b}. */
  static void add(Matrix out, Matrix a, Matrix b) {
    multiply(out, 1, a, b, 1);
  }

  /** {@code out = scale a b + keep out}. */
  static void multiply(Matrix out, float scale, Matrix a, Matrix b, float keep) {
    if (out.transposed()
        || a.rows() != out.rows()
        || b.cols() != out.cols()
        || a.cols() != b.rows()) {
      throw new IllegalArgumentException(
          "[%d, %d] x [%d, %d] does not give [%d, %d]"
              .formatted(a.rows(), a.cols(), b.rows(), b.cols(), out.rows(), out.cols()));
    }
    try {
      SGEMM.invokeExact(
          ROW_MAJOR,
          a.transposed() ? TRANSPOSED : AS_IS,
          b.transposed() ? TRANSPOSED : AS_IS,
          out.rows(),
          out.cols(),
          a.cols(),
          scale,
          a.memory(),
          a.stride(),
          b.memory(),
          b.stride(),
          keep,
          out.memory(),
          out.stride());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException("cblas_sgemm throws nothing checked", e);
    }
  }
}
