package dev.lathe.checkpoint;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Writes GGUF files byte by byte, right or wrong, without the code under test. */
final class GgufFixture {
  static final int UINT32 = 4;
  static final int INT32 = 5;
  static final int FLOAT32 = 6;
  static final int BOOL = 7;
  static final int STRING = 8;
  static final int ARRAY = 9;
  static final int UINT64 = 10;

  /** A tensor: its dimensions in the file's order, innermost first. */
  record TensorPart(String name, int type, long[] dimensions, long offset, byte[] data) {}

  int magic = 0x46554747;
  int version = 3;
  int alignment = 32;
  long extraKeys;
  long extraTensors;
  int cutBytes;
  final List<byte[]> keys = new ArrayList<>();
  final List<TensorPart> tensors = new ArrayList<>();
  private long next;

  /** The smallest model: one layer, two heads of four elements. */
  static GgufFixture tinyLlama() {
    return tinyLlama(4);
  }

  /** As {@link #tinyLlama()}, with so many tokens. */
  static GgufFixture tinyLlama(int vocabulary) {
    GgufFixture file = new GgufFixture();
    file.string("general.architecture", "llama");
    file.u32("llama.context_length", 16);
    file.u32("llama.embedding_length", 8);
    file.u32("llama.block_count", 1);
    file.u32("llama.feed_forward_length", 8);
    file.u32("llama.attention.head_count", 2);
    file.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    file.tensor("token_embd.weight", 0, floats(0, 8 * vocabulary), 8, vocabulary);
    file.tensor("blk.0.attn_q.weight", 0, floats(100, 64), 8, 8);
    return file;
  }

  static byte[] floats(int first, int count) {
    ByteBuffer bytes = little(4 * count);
    for (int i = 0; i < count; i++) {
      bytes.putFloat(first + i);
    }
    return content(bytes);
  }

  static ByteBuffer little(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** All bytes of a buffer, written or not. */
  static byte[] content(ByteBuffer buffer) {
    byte[] bytes = new byte[buffer.capacity()];
    buffer.get(0, bytes);
    return bytes;
  }

  GgufFixture key(String name, int type, byte[] value) {
    keys.add(join(text(name), content(little(4).putInt(type)), value));
    return this;
  }

  GgufFixture string(String name, String value) {
    return key(name, STRING, text(value));
  }

  GgufFixture u32(String name, long value) {
    return key(name, UINT32, content(little(4).putInt((int) value)));
  }

  GgufFixture f32(String name, float value) {
    return key(name, FLOAT32, content(little(4).putFloat(value)));
  }

  GgufFixture bool(String name, int value) {
    return key(name, BOOL, new byte[] {(byte) value});
  }

  GgufFixture array(String name, int type, long count, byte[] elements) {
    return key(name, ARRAY, join(content(little(12).putInt(type).putLong(count)), elements));
  }

  GgufFixture strings(String name, List<String> values) {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    values.forEach(value -> all.writeBytes(text(value)));
    return array(name, STRING, values.size(), all.toByteArray());
  }

  GgufFixture ints(String name, int... values) {
    ByteBuffer all = little(4 * values.length);
    for (int value : values) {
      all.putInt(value);
    }
    return array(name, INT32, values.length, content(all));
  }

  GgufFixture scores(String name, float... values) {
    ByteBuffer all = little(4 * values.length);
    for (float value : values) {
      all.putFloat(value);
    }
    return array(name, FLOAT32, values.length, content(all));
  }

  GgufFixture tensor(String name, int type, byte[] data, long... dimensions) {
    return tensorAt(next, name, type, data, dimensions);
  }

  GgufFixture tensorAt(long offset, String name, int type, byte[] data, long... dimensions) {
    tensors.add(new TensorPart(name, type, dimensions, offset, data));
    next = Math.ceilDiv(offset + data.length, (long) alignment) * alignment;
    return this;
  }

  GgufFixture without(String key) {
    byte[] name = text(key);
    keys.removeIf(bytes ->
        bytes.length >= name.length
            && java.util.Arrays.equals(bytes, 0, name.length, name, 0, name.length));
    return this;
  }

  byte[] bytes() {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.writeBytes(
        content(
            little(24)
                .putInt(magic)
                .putInt(version)
                .putLong(tensors.size() + extraTensors)
                .putLong(keys.size() + extraKeys)));
    keys.forEach(out::writeBytes);
    for (TensorPart tensor : tensors) {
      out.writeBytes(text(tensor.name()));
      ByteBuffer rest = little(4 + 8 * tensor.dimensions().length + 12);
      rest.putInt(tensor.dimensions().length);
      for (long dimension : tensor.dimensions()) {
        rest.putLong(dimension);
      }
      out.writeBytes(content(rest.putInt(tensor.type()).putLong(tensor.offset())));
    }
    while (out.size() % alignment != 0) {
      out.write(0);
    }
    int start = out.size();
    for (TensorPart tensor : tensors) {
      while (out.size() - start < tensor.offset() && tensor.offset() < 1 << 20) {
        out.write(0);
      }
      out.writeBytes(tensor.data());
    }
    byte[] all = out.toByteArray();
    return java.util.Arrays.copyOf(all, all.length - cutBytes);
  }

  static byte[] text(String value) {
    byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
    return join(content(little(8).putLong(bytes.length)), bytes);
  }

  static byte[] join(byte[]... parts) {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      all.writeBytes(part);
    }
    return all.toByteArray();
  }
}
