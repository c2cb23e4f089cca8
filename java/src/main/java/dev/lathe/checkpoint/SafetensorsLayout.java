package dev.lathe.checkpoint;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Where every tensor of a file to be written goes. Tensors with wide elements come first, so that
 * each begins at a multiple of its element's size without padding; the header is padded with spaces
 * to a multiple of 8 bytes, as the format demands.
 *
 * @param header the file's first bytes, length included
 * @param dataBytes what follows it
 * @param beginOf offset of a tensor in the file, by name
 */
record SafetensorsLayout(MemorySegment header, long dataBytes, Map<String, Long> beginOf) {

  static SafetensorsLayout of(List<TensorInfo> infos) {
    List<TensorInfo> ordered =
        infos.stream()
            .sorted(Comparator.comparingInt((TensorInfo info) -> -info.dtype().bytes()))
            .toList();
    // Readers of the Hugging Face tools refuse a file that does not say whose tensors it holds.
    StringBuilder json = new StringBuilder("{\"__metadata__\":{\"format\":\"pt\"}");
    Map<String, Long> offsets = new HashMap<>();
    long at = 0;
    for (TensorInfo info : ordered) {
      long end = Math.addExact(at, info.bytes());
      json.append(',')
          .append(StrictJson.mapper().writeValueAsString(info.name()))
          .append(":{\"dtype\":\"")
          .append(info.dtype())
          .append("\",\"shape\":")
          .append(info.shape().toString().replace(" ", ""))
          .append(",\"data_offsets\":[")
          .append(at)
          .append(',')
          .append(end)
          .append("]}");
      if (offsets.put(info.name(), at) != null) {
        throw new IllegalArgumentException("tensor " + info.name() + " is written twice");
      }
      at = end;
    }
    MemorySegment header = header(json.append('}').toString());
    offsets.replaceAll((name, begin) -> begin + header.byteSize());
    return new SafetensorsLayout(header, at, offsets);
  }

  private static MemorySegment header(String json) {
    byte[] text = json.getBytes(StandardCharsets.UTF_8);
    int padded = Math.ceilDiv(text.length, 8) * 8;
    ByteBuffer header =
        ByteBuffer.allocate(Long.BYTES + padded).order(ByteOrder.LITTLE_ENDIAN).putLong(padded);
    header.put(text);
    while (header.hasRemaining()) {
      header.put((byte) ' ');
    }
    return MemorySegment.ofArray(header.array());
  }

  long fileBytes() {
    return header.byteSize() + dataBytes;
  }
}
