package dev.lathe.backend;

/**
 * What a backend runs on.
 *
 * @param name the processor's own name
 * @param memoryBytes memory that the device has
 * @param threads CPU threads in use; 0 where that has no meaning
 * @param features what the choice of kernels depends on: {@code avx512-vnni}, {@code sm_90}
 */
public record DeviceInfo(String name, long memoryBytes, int threads, String features) {}
