package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.cuda.CudaBackend;
import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.backend.cuda.WrongKernels;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The suite catches a wrong kernel among right ones, and a host that does not wait. */
@Tag("cuda")
class CudaConformanceCanaryTest {
  @BeforeEach
  void emulated() {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernels are for the emulated GPU only");
  }

  private static final class WithoutLastColumn extends ForwardingBackend {
    private final CudaBackend cuda;

    WithoutLastColumn(CudaBackend cuda) {
      super(cuda);
      this.cuda = cuda;
    }

    @Override
    public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
      WrongKernels.rmsNorm(cuda, out, x, weight, epsilon);
    }
  }

  @Test
  void sumThatMissesOneColumnIsCaught() {
    try (Backend backend = new WithoutLastColumn(CudaBackend.open())) {
      assertThatThrownBy(() -> ElementwiseChecks.rmsNorm(backend))
          .isInstanceOf(AssertionError.class)
          .hasMessageContaining("rmsNorm");
    }
  }

  /** Uploads somewhere else: what a copy that has not happened yet looks like. */
  private static final class UploadsElsewhere extends ForwardingBackend {
    UploadsElsewhere(Backend to) {
      super(to);
    }

    @Override
    public void upload(MemorySegment host, Tensor device) {
      try (DeviceMemory elsewhere = allocateMemory()) {
        super.upload(host, elsewhere.tensor(device.dtype(), device.shape()));
      }
    }
  }

  @Test
  void inputThatNeverArrivesIsCaught() {
    try (Backend backend = new UploadsElsewhere(CudaBackend.open())) {
      assertThatThrownBy(() -> ElementwiseChecks.gate(backend)).isInstanceOf(AssertionError.class);
    }
  }
}
