package dev.lathe.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lathe.backend.NativeLibraries;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.Optional;
import java.util.Set;

/**
 * {@code native/cpu} as method handles. Pointers are passed as numbers, which costs nothing per
 * call; the caller keeps the memory alive.
 */
final class CpuLibrary {
  private static final String RESOURCE = "cpu/liblathe_cpu.so";

  private CpuLibrary() {}

  /** Why the library cannot be used here; empty where it can. */
  static Optional<String> whyUnusable() {
    Optional<Path> file = NativeLibraries.find(RESOURCE);
    if (file.isEmpty()) {
      return Optional.of(NativeLibraries.whyMissing("cpu"));
    }
    try (Arena arena = Arena.ofConfined()) {
      SymbolLookup lookup = SymbolLookup.libraryLookup(file.get(), arena);
      return lookup.find("lathe_cpu_open").isPresent()
          ? Optional.empty()
          : Optional.of(file.get() + " does not contain the CPU kernels");
    } catch (IllegalArgumentException e) {
      return Optional.of(file.get() + " cannot be loaded here: " + e.getMessage());
    }
  }

  /** Those that this processor runs. */
  static Set<InstructionSet> instructionSets() {
    long features = features();
    Set<InstructionSet> sets = EnumSet.noneOf(InstructionSet.class);
    for (InstructionSet set : InstructionSet.values()) {
      if ((features & set.bit) != 0) {
        sets.add(set);
      }
    }
    return sets;
  }

  static long features() {
    try {
      return (long) Symbols.FEATURES.invokeExact();
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** A native function throws nothing; a method handle is declared to. */
  static RuntimeException unexpected(Throwable e) {
    if (e instanceof RuntimeException runtime) {
      throw runtime;
    }
    if (e instanceof Error error) {
      throw error;
    }
    return new IllegalStateException(e);
  }

  /** Bound when first used, after {@link #whyUnusable} found nothing. */
  static final class Symbols {
    private static final SymbolLookup LIBRARY =
        SymbolLookup.libraryLookup(NativeLibraries.locate("cpu", RESOURCE), Arena.global());

    static final MethodHandle FEATURES = bind("features", JAVA_LONG);
    static final MethodHandle OPEN = bind("open", JAVA_LONG, JAVA_INT, JAVA_INT);
    static final MethodHandle CLOSE =
        Linker.nativeLinker()
            .downcallHandle(
                LIBRARY.findOrThrow("lathe_cpu_close"), FunctionDescriptor.ofVoid(JAVA_LONG));
    static final MethodHandle PACK =
        Linker.nativeLinker()
            .downcallHandle(
                LIBRARY.findOrThrow("lathe_cpu_pack"),
                FunctionDescriptor.ofVoid(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG));
    static final MethodHandle ISA = bind("isa", JAVA_INT, JAVA_LONG);
    static final MethodHandle FINISH = bind("finish", JAVA_INT, JAVA_LONG);
    static final MethodHandle RECORD = bind("record", JAVA_INT, JAVA_LONG);
    static final MethodHandle RECORDED = bind("recorded", JAVA_LONG, JAVA_LONG);
    static final MethodHandle REPLAY = bind("replay", JAVA_INT, JAVA_LONG, JAVA_LONG);
    static final MethodHandle FORGET =
        Linker.nativeLinker()
            .downcallHandle(
                LIBRARY.findOrThrow("lathe_cpu_forget"),
                FunctionDescriptor.ofVoid(JAVA_LONG, JAVA_LONG));
    static final MethodHandle BANDWIDTH =
        bind("measure_bandwidth", JAVA_DOUBLE, JAVA_LONG, JAVA_LONG, JAVA_INT);
    static final MethodHandle FLOPS = bind("measure_flops", JAVA_DOUBLE, JAVA_LONG, JAVA_INT);
    static final MethodHandle INTEGER_OPS =
        bind("measure_integer_ops", JAVA_DOUBLE, JAVA_LONG, JAVA_INT);
    static final MethodHandle BYTE_OPS = bind("measure_byte_ops", JAVA_DOUBLE, JAVA_LONG, JAVA_INT);
    static final MethodHandle ROUND_TRIP =
        bind("measure_round_trip", JAVA_DOUBLE, JAVA_LONG, JAVA_INT);

    private static final MemoryLayout[] LINEAR_TYPES = {
      JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
      JAVA_INT
    };
    static final MethodHandle LINEAR = bind("linear", JAVA_INT, LINEAR_TYPES);
    static final MethodHandle LINEAR_BRIEF = bindBrief("linear", LINEAR_TYPES);

    private static final MemoryLayout[] EMBED_TYPES = {
      JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG
    };
    static final MethodHandle EMBED = bind("embed", JAVA_INT, EMBED_TYPES);
    static final MethodHandle EMBED_BRIEF = bindBrief("embed", EMBED_TYPES);

    private static final MemoryLayout[] RMS_NORM_TYPES = {
      JAVA_LONG,
      JAVA_LONG,
      JAVA_LONG,
      JAVA_LONG,
      JAVA_LONG,
      JAVA_LONG,
      JAVA_LONG,
      JAVA_LONG,
      JAVA_FLOAT
    };
    static final MethodHandle RMS_NORM = bind("rms_norm", JAVA_INT, RMS_NORM_TYPES);
    static final MethodHandle RMS_NORM_BRIEF = bindBrief("rms_norm", RMS_NORM_TYPES);

    private static final MemoryLayout[] ROTATE_TYPES = {
      JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT,
      JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG
    };
    static final MethodHandle ROTATE = bind("rotate_and_append", JAVA_INT, ROTATE_TYPES);
    static final MethodHandle ROTATE_BRIEF = bindBrief("rotate_and_append", ROTATE_TYPES);

    private static final MemoryLayout[] ATTENTION_TYPES = {
      JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT,
      JAVA_INT, JAVA_FLOAT, JAVA_INT, JAVA_FLOAT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG,
      JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG
    };
    static final MethodHandle ATTENTION = bind("attention", JAVA_INT, ATTENTION_TYPES);
    static final MethodHandle ATTENTION_BRIEF = bindBrief("attention", ATTENTION_TYPES);

    private static final MemoryLayout[] GATE_TYPES = {
      JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT
    };
    static final MethodHandle GATE = bind("gate", JAVA_INT, GATE_TYPES);
    static final MethodHandle GATE_BRIEF = bindBrief("gate", GATE_TYPES);

    private static final MemoryLayout[] GATHER_TYPES = {
      JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
      JAVA_LONG
    };
    static final MethodHandle GATHER = bind("gather_rows", JAVA_INT, GATHER_TYPES);
    static final MethodHandle GATHER_BRIEF = bindBrief("gather_rows", GATHER_TYPES);

    private static final MemoryLayout[] ARGMAX_TYPES = {
      JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG
    };
    static final MethodHandle ARGMAX = bind("argmax", JAVA_INT, ARGMAX_TYPES);
    static final MethodHandle ARGMAX_BRIEF = bindBrief("argmax", ARGMAX_TYPES);

    private Symbols() {}

    static MethodHandle bind(String name, MemoryLayout result, MemoryLayout... types) {
      return Linker.nativeLinker()
          .downcallHandle(
              LIBRARY.findOrThrow("lathe_cpu_" + name), FunctionDescriptor.of(result, types));
    }

    private static MethodHandle bindBrief(String name, MemoryLayout... types) {
      return Linker.nativeLinker()
          .downcallHandle(
              LIBRARY.findOrThrow("lathe_cpu_" + name),
              FunctionDescriptor.of(JAVA_INT, types),
              Linker.Option.critical(false));
    }
  }
}
