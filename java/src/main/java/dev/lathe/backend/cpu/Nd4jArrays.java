package dev.lathe.backend.cpu;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.nd4j.linalg.api.buffer.DataBuffer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/** Host memory as ND4J arrays, nothing copied. The arrays must not outlive the memory. */
final class Nd4jArrays {
  private Nd4jArrays() {}

  /** A pointer to memory that belongs to somebody else. */
  private static final class Address extends Pointer {
    Address(long address) {
      this.address = address;
    }
  }

  /** A contiguous F32 matrix [rows, cols] as ND4J's column-major [cols, rows]. */
  static INDArray transposed(Tensor matrix) {
    return view(matrix, new long[] {matrix.size(1), matrix.size(0)}, 'f');
  }

  /** A contiguous F32 matrix [rows, cols]. */
  static INDArray matrix(Tensor matrix) {
    return view(matrix, new long[] {matrix.size(0), matrix.size(1)}, 'c');
  }

  private static INDArray view(Tensor tensor, long[] shape, char order) {
    if (tensor.dtype() != DType.F32 || !isAligned(tensor)) {
      throw new IllegalArgumentException("ND4J cannot view " + tensor);
    }
    long elements = tensor.elements();
    FloatPointer pointer =
        new FloatPointer(new Address(tensor.memory().address())).capacity(elements);
    DataBuffer buffer = Nd4j.createBuffer(pointer, elements, DataType.FLOAT);
    return Nd4j.create(buffer, shape, Nd4j.getStrides(shape, order), 0, order);
  }

  /** ND4J and its BLAS expect floats where floats may lie. */
  static boolean isAligned(Tensor tensor) {
    return tensor.memory().address() % Float.BYTES == 0;
  }
}
