/** Data types, shapes, off-heap storage, quantized and sparse layouts. */
package dev.lathe.tensor;
