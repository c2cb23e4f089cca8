package dev.lathe.backend.cuda;

import jcuda.driver.CUdevice_attribute;

/**
 * What a launch has to keep to, and what its geometry depends on.
 *
 * @param multiprocessors multiprocessors of the device: a grid should be a multiple of them, or
 *     many times as large
 * @param sharedBytesPerBlock shared memory that a block may have when it is asked for (opt-in): 99
 *     to 227 KB
 * @param warpSize threads of a warp
 * @param maxThreads threads of a block
 * @param computeCapability ten times the major version plus the minor: 90 for 9.0
 */
record DeviceLimits(
    int multiprocessors,
    int sharedBytesPerBlock,
    int warpSize,
    int maxThreads,
    int computeCapability) {

  /** Dynamic shared memory that every kernel may have without asking for more. */
  static final int DEFAULT_SHARED_BYTES = 48 * 1024;

  /** Blocks that a grid may have in x; in y and z it is 65,535. */
  static final long MAX_GRID_X = Integer.MAX_VALUE;

  static final int MAX_GRID_YZ = 65_535;

  static DeviceLimits of(CudaContext context) {
    return new DeviceLimits(
        context.attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
        context.attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
        context.attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_WARP_SIZE),
        context.attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
        10 * context.attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
            + context.attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
  }
}
