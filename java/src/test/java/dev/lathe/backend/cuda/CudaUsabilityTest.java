package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** What a user is told whose driver refuses the kernels. */
class CudaUsabilityTest {
  @Test
  void olderDriverIsToldWhatItTakes() {
    assertThat(CudaUsability.refusal("12.8", "nvcc 13.0", "CUDA_ERROR_INVALID_IMAGE"))
        .isEqualTo(
            "the driver speaks CUDA 12.8 and refuses kernels built with nvcc 13.0"
                + " (CUDA_ERROR_INVALID_IMAGE); kernels of CUDA 13 need driver 580 or newer");
    assertThat(CudaUsability.refusal("13.1", "nvcc 14.2", "x")).endsWith("need a newer driver");
  }

  @Test
  void anotherReasonIsNotBlamedOnTheDriver() {
    assertThat(CudaUsability.refusal("13.0", "nvcc 13.0", "x")).doesNotContain("need");
    assertThat(CudaUsability.refusal("13.0", "nvcc 12.8", "x")).doesNotContain("need");
    assertThat(CudaUsability.refusal("13.0", "no nvcc", "x")).doesNotContain("need");
  }
}
