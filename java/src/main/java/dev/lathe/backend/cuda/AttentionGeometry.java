package dev.lathe.backend.cuda;

import dev.lathe.backend.AttentionShape;
import dev.lathe.tensor.DType;
import java.util.Set;

/**
 * What each attention kernel takes, and what of a multiprocessor it needs: launches of {@link
 * AttentionPlan} without their tiles and splits.
 */
final class AttentionGeometry {
  /** Modules whose blocks have all keys of their tile. */
  static final Set<String> PREFILL =
      Set.of("paged_attention_prefill", "paged_attention_prefill_int8");

  private static final int MAX_TENSOR_CORE_DIMS = 256;
  private static final int TENSOR_CORE_ROWS = 16;
  private static final int PREFILL_ROWS = 64;
  private static final int MAX_STAGES = 4;

  /** What the runtime keeps of a block's shared memory, and what kernels have of a fixed size. */
  private static final int RESERVED_BYTES = 1024;

  /** Shared memory that the general kernels for INT8 have besides what a launch asks for. */
  private static final int GENERAL_SCALE_BYTES = 512;

  private static final int FEW_ROWS = 8;
  private static final int MANY_ROWS = 32;

  private AttentionGeometry() {}

  /** Whether tensor-core kernels take this shape, in pages of some size at least. */
  static boolean hasTensorCoreKernels(AttentionShape shape, DType type) {
    return (type == DType.F16 || type == DType.BF16 || type == DType.I8)
        && shape.headDim() % 16 == 0
        && shape.headDim() <= MAX_TENSOR_CORE_DIMS;
  }

  /** Rows of keys have to start at 16 bytes; those of INT8 have a page's scales between them. */
  static boolean fitsTensorCores(AttentionShape shape, DType type, int pageSize) {
    return hasTensorCoreKernels(shape, type) && (type != DType.I8 || pageSize % 4 == 0);
  }

  /**
   * paged_attention_decode.cu and paged_attention_decode_int8.cu: two blocks a multiprocessor with
   * two stages or more, or one.
   */
  static AttentionPlan.Launch decode(DeviceLimits limits, AttentionShape shape, DType type) {
    int dims = tensorCoreDims(shape);
    boolean int8 = type == DType.I8;
    int stageBytes = int8 ? 128 * (dims + 16) + 512 : 256 * (dims + 8);
    int queryBytes = dims <= 128 ? 0 : int8 ? 32 * dims : 64 * (dims + 8);
    int ofTwoBlocks = (limits.sharedBytesPerBlock() / 2 - RESERVED_BYTES - queryBytes) / stageBytes;
    int ofOneBlock = (limits.sharedBytesPerBlock() - RESERVED_BYTES - queryBytes) / stageBytes;
    int stages = Math.clamp(ofTwoBlocks >= 2 ? ofTwoBlocks : ofOneBlock, 1, MAX_STAGES);
    int sumBytes = 256 * (dims + 4);
    return launch(
        "paged_attention_decode" + (int8 ? "_int8" : ""),
        "paged_attention_decode" + suffix(type) + "_" + dims,
        TENSOR_CORE_ROWS,
        stages,
        Math.max(stages * stageBytes + queryBytes, sumBytes));
  }

  /**
   * paged_attention_prefill.cu and paged_attention_prefill_int8.cu; devices with little shared
   * memory lack the room for large heads.
   */
  static AttentionPlan.Launch prefill(DeviceLimits limits, AttentionShape shape, DType type) {
    int dims = tensorCoreDims(shape);
    boolean int8 = type == DType.I8;
    int parts = type == DType.F16 ? 2 : 1;
    int keys = dims * parts <= 128 ? 64 : dims * parts <= 256 ? 32 : 16;
    int queryBytes = dims * parts <= 128 ? 0 : 128 * parts * (dims + 8);
    int sharedBytes = keys * (8 * dims + (int8 ? 56 : 64)) + queryBytes;
    int offsetBytes = (int8 ? 32 : 16) * keys;
    return sharedBytes + Math.max(offsetBytes, RESERVED_BYTES) > limits.sharedBytesPerBlock()
        ? generalMany(limits, shape, type)
        : launch(
            "paged_attention_prefill" + (int8 ? "_int8" : ""),
            "paged_attention_prefill" + suffix(type) + "_" + dims,
            PREFILL_ROWS,
            0,
            sharedBytes);
  }

  /** The kernel's head size: 64, 128 or 256. */
  private static int tensorCoreDims(AttentionShape shape) {
    return shape.headDim() <= 64 ? 64 : shape.headDim() <= 128 ? 128 : MAX_TENSOR_CORE_DIMS;
  }

  /** paged_attention_general.cu, for few new tokens. */
  static AttentionPlan.Launch generalFew(DeviceLimits limits, AttentionShape shape, DType type) {
    return general("few", FEW_ROWS, limits, shape, type);
  }

  /** The same for many. */
  static AttentionPlan.Launch generalMany(DeviceLimits limits, AttentionShape shape, DType type) {
    return general("many", MANY_ROWS, limits, shape, type);
  }

  private static AttentionPlan.Launch general(
      String name, int rows, DeviceLimits limits, AttentionShape shape, DType type) {
    int columns = Math.ceilDiv(shape.headDim(), 4) * 4;
    for (int keys = 32; keys >= 1; keys /= 2) {
      long bytes = 4 * (128 + 2L * rows * columns + 35L * (rows + 4) + 2L * keys * (columns + 4));
      if (bytes + (type == DType.I8 ? GENERAL_SCALE_BYTES : 0) <= limits.sharedBytesPerBlock()) {
        return launch(
            "paged_attention_general",
            "paged_attention_" + name + suffix(type),
            rows,
            keys,
            (int) bytes);
      }
    }
    if (rows > FEW_ROWS) {
      return generalFew(limits, shape, type);
    }
    throw new IllegalArgumentException(
        "attention: heads of %d elements do not fit the %d bytes of shared memory that a block has"
            .formatted(shape.headDim(), limits.sharedBytesPerBlock()));
  }

  private static AttentionPlan.Launch launch(
      String module, String kernel, int rowsPerTile, int step, int sharedBytes) {
    return new AttentionPlan.Launch(
        module,
        kernel,
        rowsPerTile,
        0,
        1,
        AttentionPlan.KEYS_PER_SPLIT,
        1,
        Integer.MAX_VALUE,
        step,
        sharedBytes);
  }

  /** How kernels for keys and values of this type are called. */
  static String suffix(DType type) {
    return switch (type) {
      case F32 -> "_f32";
      case F16 -> "_f16";
      case BF16 -> "_bf16";
      case I8 -> "_s8";
      default ->
          throw new IllegalArgumentException(
              "keys and values are " + type + ", not F32, F16, BF16, I8");
    };
  }
}
