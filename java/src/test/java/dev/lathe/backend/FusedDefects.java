package dev.lathe.backend;

import dev.lathe.backend.ConformanceCanaryTest.Defect;
import dev.lathe.backend.LinearChecks.ActivationRounding;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/** A planted defect for each way in which operations can be put together wrongly. */
final class FusedDefects {
  private FusedDefects() {}

  static Map<String, Defect> all() {
    Map<String, Defect> defects = new LinkedHashMap<>();
    defects.put("the norm is left out", norm(new NormLeftOut()));
    defects.put("all rows by the first one's factor", norm(new FirstFactor()));
    defects.put("epsilon of the norm is missing", norm(new NoEpsilon()));
    defects.put("gate and up change places", gate(new UpIsTheGate()));
    defects.put("silu whatever was asked for", gate(new AlwaysSilu()));
    defects.put("the gate's norm is left out", gate(new GateWithoutNorm()));
    return defects;
  }

  private static Defect norm(Backend backend) {
    return new Defect(
        backend, b -> FusedChecks.normLinear(b, WeightCases.BF16, ActivationRounding.NONE));
  }

  private static Defect gate(Backend backend) {
    return new Defect(
        backend,
        b -> FusedChecks.normLinearGate(b, WeightCases.INT8_CHANNEL_F32, ActivationRounding.NONE));
  }

  private abstract static class Defective extends ForwardingBackend {
    Defective() {
      super(new ReferenceBackend());
    }
  }

  private static final class NormLeftOut extends Defective {
    @Override
    public void normLinear(Tensor out, Tensor x, RmsNorm norm, Linear layer, Tensor normed) {
      to.linear(out, x, layer, Epilogue.STORE);
    }
  }

  private static final class FirstFactor extends Defective {
    @Override
    public void normLinear(Tensor out, Tensor x, RmsNorm norm, Linear layer, Tensor normed) {
      double first = root(x, norm, 0);
      double[] roots = new double[Math.toIntExact(x.size(0))];
      for (int t = 0; t < roots.length; t++) {
        roots[t] = root(x, norm, t);
      }
      to.rmsNorm(normed, x, norm.weight(), norm.epsilon());
      for (int t = 0; t < roots.length; t++) {
        to.scale(normed.rows(t, t + 1), (float) (roots[t] / first));
      }
      to.linear(out, normed, layer, Epilogue.STORE);
    }

    private static double root(Tensor x, RmsNorm norm, long row) {
      double squares = 0;
      for (long c = 0; c < x.size(1); c++) {
        squares += Bench.at(x, row, c) * Bench.at(x, row, c);
      }
      return Math.sqrt(squares / x.size(1) + norm.epsilon());
    }
  }

  private static final class NoEpsilon extends Defective {
    @Override
    public void normLinear(Tensor out, Tensor x, RmsNorm norm, Linear layer, Tensor normed) {
      to.normLinear(out, x, new RmsNorm(norm.weight(), 0), layer, normed);
    }
  }

  private static final class UpIsTheGate extends Defective {
    @Override
    public void normLinearGate(
        Tensor out,
        Tensor x,
        RmsNorm norm,
        Linear layer,
        Activation activation,
        Tensor normed,
        Tensor gateUp) {
      to.normLinear(gateUp, x, norm, layer, normed);
      long n = out.size(1);
      try (DeviceMemory memory = allocateMemory()) {
        Tensor swapped = memory.tensor(gateUp.dtype(), gateUp.shape());
        for (long t = 0; t < out.size(0); t++) {
          long half = n * Float.BYTES;
          Tensor from = gateUp.rows(t, t + 1);
          Tensor row = swapped.rows(t, t + 1);
          row.memory().asSlice(0, half).copyFrom(from.memory().asSlice(half, half));
          row.memory().asSlice(half, half).copyFrom(from.memory().asSlice(0, half));
        }
        to.gate(out, swapped, activation);
      }
    }
  }

  private static final class AlwaysSilu extends Defective {
    @Override
    public void normLinearGate(
        Tensor out,
        Tensor x,
        RmsNorm norm,
        Linear layer,
        Activation activation,
        Tensor normed,
        Tensor gateUp) {
      to.normLinearGate(out, x, norm, layer, Activation.SILU, normed, gateUp);
    }
  }

  private static final class GateWithoutNorm extends Defective {
    @Override
    public void normLinearGate(
        Tensor out,
        Tensor x,
        RmsNorm norm,
        Linear layer,
        Activation activation,
        Tensor normed,
        Tensor gateUp) {
      to.linear(gateUp, x, layer, Epilogue.STORE);
      to.gate(out, gateUp, activation);
    }
  }
}
