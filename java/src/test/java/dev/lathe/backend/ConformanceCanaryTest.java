package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The suite must catch backends with one defect each, and let the same decorator pass without. */
final class ConformanceCanaryTest {

  record Defect(Backend backend, Consumer<Backend> check) {}

  @Test
  void passesWithoutDefect() {
    try (Backend backend = new ForwardingBackend(new ReferenceBackend())) {
      LinearChecks.linear(backend, WeightCases.STACKED_MIXED);
      AttentionChecks.attention(backend);
      FusedChecks.normLinearGate(backend, WeightCases.F32, LinearChecks.ActivationRounding.NONE);
    }
  }

  @TestFactory
  Stream<DynamicTest> catchesEachDefect() {
    return defects().entrySet().stream()
        .map(entry ->
            dynamicTest(
                entry.getKey(),
                () -> {
                  Defect defect = entry.getValue();
                  assertThatThrownBy(() -> defect.check.accept(defect.backend))
                      .isInstanceOf(AssertionError.class);
                }));
  }

  private static Map<String, Defect> defects() {
    Map<String, Defect> defects = new LinkedHashMap<>();
    defects.put("residual is missing", linear(WeightCases.F32, new NoResidual()));
    defects.put("bias is missing", linear(WeightCases.BF16, new NoBias()));
    defects.put(
        "zero points are ignored",
        linear(WeightCases.INT8_CHANNEL_F32_ASYMMETRIC, new NoZeroPoints()));
    defects.put(
        "last column is left out", linear(WeightCases.INT8_GROUP_F32, new LastColumnLeftOut()));
    defects.put("row stride is ignored", linear(WeightCases.F16, new StrideIgnored()));
    defects.put("activations as they are", linear(WeightCases.W8A8_F32, new NotQuantized()));
    defects.put("activations as BF16", linear(WeightCases.F32, new NarrowActivations()));
    defects.put("mask is one too wide", attention(new MaskTooWide()));
    defects.put("two blocks are swapped", attention(new BlocksSwapped()));
    defects.put("scale is missing", attention(new NoScale()));
    defects.put(
        "keys are not turned",
        new Defect(new PositionsIgnored(), AttentionChecks::rotateAndAppend));
    defects.put("gate and up are swapped", new Defect(new GateSwapped(), ElementwiseChecks::gate));
    defects.put("tanh for erf", new Defect(new GeluMixedUp(), ElementwiseChecks::gate));
    defects.put("epsilon is missing", new Defect(new NoEpsilon(), ElementwiseChecks::rmsNorm));
    defects.put("last of equals", new Defect(new LastOfEquals(), ElementwiseChecks::argmax));
    defects.put("the next draw", new Defect(new NextDraw(), SamplingChecks::sample));
    defects.putAll(FusedDefects.all());
    defects.putAll(VariantDefects.all());
    defects.put("shapes unchecked", new Defect(new NoChecks(), ShapeChecks::wrongShapesAreRefused));
    return defects;
  }

  private static Defect linear(WeightCases format, Backend backend) {
    return new Defect(backend, b -> LinearChecks.linear(b, format));
  }

  private static Defect attention(Backend backend) {
    return new Defect(backend, AttentionChecks::attention);
  }

  private abstract static class Defective extends ForwardingBackend {
    Defective() {
      super(new ReferenceBackend());
    }
  }

  private static final class NoResidual extends Defective {
    @Override
    public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
      to.linear(out, x, layer, Epilogue.STORE);
    }
  }

  private static final class NoBias extends Defective {
    @Override
    public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
      to.linear(out, x, Linear.of(layer.weight()), epilogue);
    }
  }

  private static final class NoZeroPoints extends Defective {
    @Override
    public Weight place(Weight weight, DeviceMemory memory) {
      Weight.Int8 int8 = (Weight.Int8) weight;
      return new Weight.Int8(int8.values(), int8.scales(), Optional.empty());
    }
  }

  /** The tail that a vector loop forgets. */
  private static final class LastColumnLeftOut extends Defective {
    @Override
    public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
      try (DeviceMemory memory = allocateMemory()) {
        Tensor shorter = memory.tensor(DType.F32, x.shape());
        for (long t = 0; t < x.size(0); t++) {
          for (long c = 0; c < x.size(1) - 1; c++) {
            set(shorter, t * x.size(1) + c, Bench.at(x, t, c));
          }
        }
        to.linear(out, shorter, layer, epilogue);
      }
    }
  }

  private static final class NotQuantized extends Defective {
    @Override
    public Weight place(Weight weight, DeviceMemory memory) {
      return ((Weight.Int8) weight).with(ActivationFormat.FLOAT);
    }
  }

  private static final class StrideIgnored extends Defective {
    @Override
    public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
      to.linear(Tensor.of(out.memory(), DType.F32, out.shape()), x, layer, epilogue);
    }
  }

  private static final class NarrowActivations extends Defective {
    @Override
    public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
      try (DeviceMemory memory = allocateMemory()) {
        Tensor narrow = memory.tensor(DType.F32, x.shape());
        for (long t = 0; t < x.size(0); t++) {
          for (long c = 0; c < x.size(1); c++) {
            float value = (float) Bench.at(x, t, c);
            set(narrow, t * x.size(1) + c, Floats.fromBf16(Floats.toBf16(value)));
          }
        }
        to.linear(out, narrow, layer, epilogue);
      }
    }
  }

  private static final class MaskTooWide extends Defective {
    @Override
    public void attention(
        Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
      try (DeviceMemory memory = allocateMemory()) {
        Tensor contexts = memory.tensor(DType.I32, batch.sequenceCount());
        for (int s = 0; s < batch.sequenceCount(); s++) {
          int context = integer(batch.contextLengths(), s);
          // One more where the last page has room, as a wrong comparison would.
          setInteger(contexts, s, context % cache.pageSize() == 0 ? context : context + 1);
        }
        to.attention(out, qkv, shape, cache, with(batch, contexts, batch.blocks()));
      }
    }
  }

  private static final class BlocksSwapped extends Defective {
    @Override
    public void attention(
        Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
      try (DeviceMemory memory = allocateMemory()) {
        Tensor blocks = memory.tensor(DType.I32, batch.blocks().size(0));
        blocks.memory().copyFrom(batch.blocks().memory().asSlice(0, blocks.bytes()));
        if (blocks.elements() > 1) {
          setInteger(blocks, 0, integer(batch.blocks(), 1));
          setInteger(blocks, 1, integer(batch.blocks(), 0));
        }
        to.attention(out, qkv, shape, cache, with(batch, batch.contextLengths(), blocks));
      }
    }
  }

  private static final class NoScale extends Defective {
    @Override
    public void attention(
        Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
      AttentionShape unscaled =
          new AttentionShape(shape.heads(), shape.kvHeads(), shape.headDim(), 1);
      to.attention(out, qkv, unscaled, cache, batch);
    }
  }

  private static final class PositionsIgnored extends Defective {
    @Override
    public void rotateAndAppend(
        Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
      Tensor first = Tensor.of(rotations.memory(), DType.F32, 1, rotations.size(1));
      try (DeviceMemory memory = allocateMemory()) {
        Tensor same = memory.tensor(DType.F32, rotations.shape());
        for (long p = 0; p < rotations.size(0); p++) {
          same.rows(p, p + 1).memory().copyFrom(first.memory());
        }
        to.rotateAndAppend(qkv, same, shape, cache, batch);
      }
    }
  }

  private static final class GateSwapped extends Defective {
    @Override
    public void gate(Tensor out, Tensor gateUp, Activation activation) {
      long n = out.size(1);
      try (DeviceMemory memory = allocateMemory()) {
        Tensor swapped = memory.tensor(DType.F32, gateUp.shape());
        for (long t = 0; t < out.size(0); t++) {
          for (long c = 0; c < 2 * n; c++) {
            set(swapped, t * 2 * n + (c + n) % (2 * n), Bench.at(gateUp, t, c));
          }
        }
        to.gate(out, swapped, activation);
      }
    }
  }

  private static final class GeluMixedUp extends Defective {
    @Override
    public void gate(Tensor out, Tensor gateUp, Activation activation) {
      to.gate(out, gateUp, activation == Activation.GELU ? Activation.GELU_TANH : activation);
    }
  }

  private static final class NoEpsilon extends Defective {
    @Override
    public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
      to.rmsNorm(out, x, weight, 0);
    }
  }

  private static final class LastOfEquals extends Defective {
    @Override
    public void argmax(Tensor out, Tensor x) {
      to.argmax(out, x);
      for (long r = 0; r < x.size(0); r++) {
        double largest = Bench.at(x, r, integer(out, r));
        for (int c = 0; c < x.size(1); c++) {
          if (Bench.at(x, r, c) == largest) {
            setInteger(out, r, c);
          }
        }
      }
    }
  }

  private static final class NextDraw extends Defective {
    @Override
    public void sample(
        Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts) {
      List<DrawParameters> next =
          draws.stream()
              .map(d ->
                  new DrawParameters(
                      d.temperature(),
                      d.topK(),
                      d.topP(),
                      d.minP(),
                      d.repetitionPenalty(),
                      d.seed(),
                      d.draw() + 1))
              .toList();
      to.sample(out, logits, next, contexts);
    }
  }

  private static final class NoChecks extends Defective {
    @Override
    public void argmax(Tensor out, Tensor x) {
      // Whatever the shapes: no complaint.
    }
  }

  private static BatchTensors with(BatchTensors batch, Tensor contexts, Tensor blocks) {
    return new BatchTensors(
        batch.tokens(),
        batch.positions(),
        batch.slots(),
        batch.queryStarts(),
        contexts,
        batch.blockStarts(),
        blocks,
        batch.logitRows());
  }

  private static void set(Tensor tensor, long index, double value) {
    Floats.set(tensor.memory(), DType.F32, index, (float) value);
  }

  private static int integer(Tensor tensor, long index) {
    return tensor.memory().get(ValueLayout.JAVA_INT_UNALIGNED, index * 4);
  }

  private static void setInteger(Tensor tensor, long index, int value) {
    tensor.memory().set(ValueLayout.JAVA_INT_UNALIGNED, index * 4, value);
  }
}
