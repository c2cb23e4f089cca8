package dev.lathe.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * One GPU's sensors, read through NVIDIA's management library, which comes with the driver. Needs
 * no CUDA context, and readings don't disturb what runs.
 *
 * @see <a href="https://docs.nvidia.com/deploy/nvml-api/">NVML's reference</a>
 */
public final class Nvml implements AutoCloseable {
  private static final String LIBRARY = "libnvidia-ml.so.1";
  private static final int SUCCESS = 0;
  private static final int TEXT_BYTES = 96; // NVML_DEVICE_NAME_V2_BUFFER_SIZE, the longest
  private static final int MULTIPROCESSOR_CLOCK = 1;
  private static final int MEMORY_CLOCK = 2;

  private final Linker linker = Linker.nativeLinker();
  private final SymbolLookup library;
  private final Map<String, MethodHandle> functions = new HashMap<>();
  private final Arena arena = Arena.ofShared();

  /** Where results are written; guarded by this object's lock. */
  private final MemorySegment buffer = arena.allocate(TEXT_BYTES, JAVA_LONG.byteSize());

  private MemorySegment device = MemorySegment.NULL;
  private boolean closed;

  /**
   * What an attempt to open a GPU's sensors ended with.
   *
   * @param nvml empty where there is none
   * @param reason why there is none; empty where there is one
   */
  public record Opened(Optional<Nvml> nvml, String reason) {}

  /** NVML answered something else than success. */
  private static final class NvmlException extends Exception {
    private static final long serialVersionUID = 1;

    NvmlException(String message) {
      super(message);
    }
  }

  private Nvml(SymbolLookup library) {
    this.library = library;
  }

  /**
   * The sensors of the GPU that CUDA calls device 0, whatever {@code CUDA_VISIBLE_DEVICES} makes
   * that. Never throws for what a machine lacks: the reason says it.
   */
  public static Opened open() {
    if (CudaDriver.kind().emulated()) {
      return new Opened(Optional.empty(), "the emulated GPU has no sensors");
    }
    Optional<String> bus = CudaDriver.pciBusId();
    return bus.isPresent()
        ? open(LIBRARY, bus.get())
        : new Opened(Optional.empty(), CudaDriver.probe().reason());
  }

  /**
   * @param name a library's name for the dynamic linker, or its path
   * @param pciBusId of the GPU, such as {@code 0000:01:00.0}
   */
  static Opened open(String name, String pciBusId) {
    SymbolLookup library;
    try {
      library = SymbolLookup.libraryLookup(name, Arena.global());
    } catch (IllegalArgumentException e) {
      return new Opened(Optional.empty(), name + " is not installed");
    }
    Nvml nvml = new Nvml(library);
    try {
      nvml.check("nvmlInit_v2", nvml.call("nvmlInit_v2"));
    } catch (NvmlException e) {
      nvml.arena.close();
      return new Opened(Optional.empty(), e.getMessage());
    }
    try (Arena call = Arena.ofConfined()) {
      String function = "nvmlDeviceGetHandleByPciBusId_v2";
      nvml.check(function, nvml.call(function, call.allocateFrom(pciBusId), nvml.buffer));
      nvml.device = nvml.buffer.get(ADDRESS, 0);
      return new Opened(Optional.of(nvml), "");
    } catch (NvmlException e) {
      nvml.close();
      return new Opened(Optional.empty(), e.getMessage() + " (for the GPU at " + pciBusId + ")");
    }
  }

  /** The driver's version, such as {@code 580.95.05}; empty where it can't be told. */
  public synchronized String driverVersion() {
    return call("nvmlSystemGetDriverVersion", buffer, TEXT_BYTES) == SUCCESS
        ? buffer.getString(0)
        : "";
  }

  /** The GPU's name; empty where it can't be told. */
  public synchronized String deviceName() {
    return call("nvmlDeviceGetName", device, buffer, TEXT_BYTES) == SUCCESS
        ? buffer.getString(0)
        : "";
  }

  /** All sensors, one after another. */
  public synchronized NvmlReading read() {
    // Of the memory: total, free, used. Of utilization: the GPU's, the memory's.
    boolean memory = call("nvmlDeviceGetMemoryInfo", device, buffer) == SUCCESS;
    OptionalLong total = memory ? longAt(0) : OptionalLong.empty();
    OptionalLong used = memory ? longAt(2) : OptionalLong.empty();
    boolean busy = call("nvmlDeviceGetUtilizationRates", device, buffer) == SUCCESS;
    OptionalLong busyPercent = busy ? intAt(0) : OptionalLong.empty();
    OptionalLong memoryBusyPercent = busy ? intAt(1) : OptionalLong.empty();
    return new NvmlReading(
        used,
        total,
        clock("nvmlDeviceGetClockInfo", MULTIPROCESSOR_CLOCK),
        clock("nvmlDeviceGetMaxClockInfo", MULTIPROCESSOR_CLOCK),
        clock("nvmlDeviceGetClockInfo", MEMORY_CLOCK),
        clock("nvmlDeviceGetMaxClockInfo", MEMORY_CLOCK),
        clock("nvmlDeviceGetTemperature", 0), // its one sensor; same shape as a clock's call
        number("nvmlDeviceGetPowerUsage"),
        number("nvmlDeviceGetEnforcedPowerLimit"),
        call("nvmlDeviceGetTotalEnergyConsumption", device, buffer) == SUCCESS
            ? longAt(0)
            : OptionalLong.empty(),
        busyPercent,
        memoryBusyPercent);
  }

  private OptionalLong number(String function) {
    return call(function, device, buffer) == SUCCESS ? intAt(0) : OptionalLong.empty();
  }

  private OptionalLong clock(String function, int which) {
    return call(function, device, which, buffer) == SUCCESS ? intAt(0) : OptionalLong.empty();
  }

  private OptionalLong intAt(int index) {
    return OptionalLong.of(Integer.toUnsignedLong(buffer.getAtIndex(JAVA_INT, index)));
  }

  private OptionalLong longAt(int index) {
    return OptionalLong.of(buffer.getAtIndex(JAVA_LONG, index));
  }

  /**
   * Calls a function that returns an nvmlReturn_t. One that this version of the library lacks
   * answers NVML_ERROR_FUNCTION_NOT_FOUND, as NVML itself does for what a driver lacks.
   *
   * @param arguments pointers ({@code MemorySegment}) and unsigned ints ({@code Integer})
   */
  private int call(String function, Object... arguments) {
    if (closed) {
      throw new IllegalStateException("NVML is closed");
    }
    final int functionNotFound = 13;
    MemoryLayout[] layouts = new MemoryLayout[arguments.length];
    for (int i = 0; i < arguments.length; i++) {
      layouts[i] = arguments[i] instanceof Integer ? JAVA_INT : ADDRESS;
    }
    Optional<MemorySegment> address = library.find(function);
    if (address.isEmpty()) {
      return functionNotFound;
    }
    MethodHandle handle =
        functions.computeIfAbsent(
            function,
            f -> linker.downcallHandle(address.get(), FunctionDescriptor.of(JAVA_INT, layouts)));
    try {
      return (int) handle.invokeWithArguments(arguments);
    } catch (Throwable e) {
      throw new IllegalStateException("a call of " + function + " failed", e);
    }
  }

  private void check(String function, int result) throws NvmlException {
    if (result == SUCCESS) {
      return;
    }
    String text = "error " + result;
    Optional<MemorySegment> describe = library.find("nvmlErrorString");
    if (describe.isPresent()) {
      try {
        MethodHandle handle =
            linker.downcallHandle(describe.get(), FunctionDescriptor.of(ADDRESS, JAVA_INT));
        text = ((MemorySegment) handle.invokeExact(result)).reinterpret(256).getString(0);
      } catch (Throwable e) {
        throw new IllegalStateException("a call of nvmlErrorString failed", e);
      }
    }
    throw new NvmlException(function + " answers: " + text);
  }

  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    call("nvmlShutdown"); // its answer changes nothing
    closed = true;
    arena.close();
  }
}
