package dev.lathe.checkpoint;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Puts the keys and values of a GGUF file together, in the order in which they are given. */
final class GgufMetadataBuilder {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private long count;

  GgufMetadataBuilder string(String key, String value) {
    begin(key, GgufMetadata.Type.STRING);
    text(value);
    return this;
  }

  GgufMetadataBuilder u32(String key, long value) {
    if (value < 0 || value > 0xffffffffL) {
      throw new IllegalArgumentException(key + " is " + value + ", no UINT32");
    }
    begin(key, GgufMetadata.Type.UINT32);
    number(4, value);
    return this;
  }

  GgufMetadataBuilder f32(String key, float value) {
    begin(key, GgufMetadata.Type.FLOAT32);
    number(4, Float.floatToRawIntBits(value));
    return this;
  }

  GgufMetadataBuilder bool(String key, boolean value) {
    begin(key, GgufMetadata.Type.BOOL);
    out.write(value ? 1 : 0);
    return this;
  }

  GgufMetadataBuilder strings(String key, List<String> values) {
    beginArray(key, GgufMetadata.Type.STRING, values.size());
    values.forEach(this::text);
    return this;
  }

  GgufMetadataBuilder floats(String key, float[] values) {
    beginArray(key, GgufMetadata.Type.FLOAT32, values.length);
    for (float value : values) {
      number(4, Float.floatToRawIntBits(value));
    }
    return this;
  }

  GgufMetadataBuilder ints(String key, int[] values) {
    beginArray(key, GgufMetadata.Type.INT32, values.length);
    for (int value : values) {
      number(4, value);
    }
    return this;
  }

  GgufMetadataBuilder flags(String key, boolean[] values) {
    beginArray(key, GgufMetadata.Type.BOOL, values.length);
    for (boolean value : values) {
      out.write(value ? 1 : 0);
    }
    return this;
  }

  private void begin(String key, GgufMetadata.Type type) {
    text(key);
    number(4, type.id);
    count++;
  }

  private void beginArray(String key, GgufMetadata.Type element, long length) {
    begin(key, GgufMetadata.Type.ARRAY);
    number(4, element.id);
    number(8, length);
  }

  private void text(String value) {
    byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
    number(8, bytes.length);
    out.writeBytes(bytes);
  }

  private void number(int bytes, long value) {
    for (int i = 0; i < bytes; i++) {
      out.write((int) (value >> (8 * i)));
    }
  }

  /** The file up to its data: header, keys, and where each tensor lies. */
  byte[] header(List<GgufWriter.Planned> tensors, List<Long> offsets, int alignment) {
    GgufMetadataBuilder file = new GgufMetadataBuilder();
    file.number(4, GgufFile.MAGIC);
    file.number(4, 3);
    file.number(8, tensors.size());
    file.number(8, count);
    file.out.writeBytes(out.toByteArray());
    for (int i = 0; i < tensors.size(); i++) {
      GgufWriter.Planned tensor = tensors.get(i);
      file.text(tensor.name());
      file.number(4, tensor.shape().length);
      for (int d = tensor.shape().length - 1; d >= 0; d--) {
        file.number(8, tensor.shape()[d]);
      }
      file.number(4, tensor.type().id());
      file.number(8, offsets.get(i));
    }
    byte[] bytes = file.out.toByteArray();
    int padded = Math.ceilDiv(bytes.length, alignment) * alignment;
    return ByteBuffer.allocate(padded).order(ByteOrder.LITTLE_ENDIAN).put(bytes).array();
  }
}
