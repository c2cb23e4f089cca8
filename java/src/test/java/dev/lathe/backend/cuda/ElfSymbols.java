package dev.lathe.backend.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import jcuda.driver.JCudaDriver;

/** What a library of JCuda's needs from the library that it is linked against. */
final class ElfSymbols {
  private ElfSymbols() {}

  /**
   * The undefined symbols in an ELF64 library's .dynsym: entries of 24 bytes, name first, section
   * at byte 6.
   *
   * @param pattern what a name has to match to count
   */
  static List<String> undefined(String resource, String pattern) throws IOException {
    ByteBuffer elf;
    try (InputStream in = JCudaDriver.class.getResourceAsStream(resource)) {
      assertThat(in).as(resource).isNotNull();
      elf = ByteBuffer.wrap(in.readAllBytes()).order(ByteOrder.LITTLE_ENDIAN);
    }
    int sections = Math.toIntExact(elf.getLong(0x28));
    List<String> names = new ArrayList<>();
    for (int i = 0; i < elf.getShort(0x3c); i++) {
      int section = sections + 64 * i;
      if (elf.getInt(section + 4) != 11) { // SHT_DYNSYM
        continue;
      }
      int start = Math.toIntExact(elf.getLong(section + 24));
      int end = start + Math.toIntExact(elf.getLong(section + 32));
      int strings = Math.toIntExact(elf.getLong(sections + 64 * elf.getInt(section + 40) + 24));
      for (int symbol = start; symbol < end; symbol += 24) {
        if (elf.getShort(symbol + 6) == 0) {
          names.add(text(elf, strings + elf.getInt(symbol)));
        }
      }
    }
    names.removeIf(name -> !name.matches(pattern));
    return names;
  }

  private static String text(ByteBuffer bytes, int start) {
    int end = start;
    while (bytes.get(end) != 0) {
      end++;
    }
    return UTF_8.decode(bytes.slice(start, end - start)).toString();
  }
}
