package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.cuda.CudaBackend;
import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.backend.cuda.WrongKernels;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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

  /** A wrong kernel, by its number in cuda-kernels/test/linear_faults.cu; 0 is right. */
  private static final class WrongFusion extends ForwardingBackend {
    private final CudaBackend cuda;
    private final int defect;

    WrongFusion(CudaBackend cuda, int defect) {
      super(cuda);
      this.cuda = cuda;
      this.defect = defect;
    }

    @Override
    public void normLinearGate(
        Tensor out,
        Tensor x,
        RmsNorm norm,
        Linear layer,
        Activation activation,
        Tensor normed,
        Tensor gateUp) {
      WrongKernels.normLinearGate(cuda, out, x, norm, layer, activation, defect);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, all rows are normalized by the first one's factor",
    "2, the last column is not in the sum of squares",
    "3, the norm's weights are ignored",
    "4, the activation is up's",
    "5, up is the next output's",
    "6, the gate has no bias"
  })
  void wrongFusionIsCaught(int defect, String what) {
    try (Backend backend = new WrongFusion(CudaBackend.open(), defect)) {
      assertThatThrownBy(() -> checkGate(backend)).as(what).isInstanceOf(AssertionError.class);
    }
  }

  @Test
  void fusionWithoutDefectPasses() {
    try (Backend backend = new WrongFusion(CudaBackend.open(), 0)) {
      checkGate(backend);
    }
  }

  private static void checkGate(Backend backend) {
    FusedChecks.normLinearGate(backend, WeightCases.F32, LinearChecks.ActivationRounding.NONE);
  }

  /** W8A8 as W8A16: the same codes, activations as they are. */
  private static final class NotQuantized extends ForwardingBackend {
    NotQuantized(Backend to) {
      super(to);
    }

    @Override
    public Weight place(Weight weight, DeviceMemory memory) {
      return super.place(((Weight.Int8) weight).with(ActivationFormat.FLOAT), memory);
    }
  }

  @Test
  void w8a8AsW8A16IsCaught() {
    try (Backend backend = new NotQuantized(CudaBackend.open())) {
      assertThatThrownBy(() -> LinearChecks.linear(backend, WeightCases.W8A8_F32))
          .isInstanceOf(AssertionError.class)
          .hasMessageContaining("W8A8_F32");
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
