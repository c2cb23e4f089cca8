/** CUDA through JCuda's driver API: on an NVIDIA GPU, or on the emulated one. */
package dev.lathe.backend.cuda;
