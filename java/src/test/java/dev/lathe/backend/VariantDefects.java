package dev.lathe.backend;

import dev.lathe.backend.ConformanceCanaryTest.Defect;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.UnaryOperator;

/**
 * A planted defect for each operation of decoders other than Llama, and each limit of attention.
 */
final class VariantDefects {
  private VariantDefects() {}

  static Map<String, Defect> all() {
    Map<String, Defect> defects = new LinkedHashMap<>();
    defects.put(
        "window is ignored", attention(s -> with(s, AttentionShape.NO_WINDOW, s.softCap())));
    defects.put("window is one too wide", attention(VariantDefects::wider));
    defects.put("cap is ignored", attention(s -> with(s, s.window(), AttentionShape.NO_CAP)));
    defects.put("cap is doubled", attention(s -> with(s, s.window(), 2 * s.softCap())));
    defects.put("nothing appended", new Defect(new NothingAppended(), AttentionChecks::append));
    defects.put("norm bias is missing", new Defect(new NoNormBias(), VariantChecks::layerNorm));
    defects.put("mean is not taken off", new Defect(new NoMean(), VariantChecks::layerNorm));
    defects.put("norm replaces", new Defect(new NormReplaces(), VariantChecks::addRmsNorm));
    defects.put(
        "keys by queries' weights", new Defect(new OneHeadNorm(), VariantChecks::normHeads));
    defects.put(
        "positions replace",
        new Defect(new PositionsReplace(), b -> VariantChecks.addEmbedding(b, WeightCases.BF16)));
    defects.put("factor is ignored", new Defect(new NoFactor(), VariantChecks::scale));
    defects.put("plain tanh for erf", new Defect(new PlainGelu(), VariantChecks::activate));
    defects.put("logits are clipped", new Defect(new Clipped(), VariantChecks::softCap));
    return defects;
  }

  private static AttentionShape with(AttentionShape shape, int window, float cap) {
    return new AttentionShape(
        shape.heads(), shape.kvHeads(), shape.headDim(), shape.scale(), window, cap);
  }

  private static AttentionShape wider(AttentionShape shape) {
    int window = shape.window();
    return with(shape, window == AttentionShape.NO_WINDOW ? window : window + 1, shape.softCap());
  }

  private static Defect attention(UnaryOperator<AttentionShape> change) {
    return new Defect(
        new Defective() {
          @Override
          public void attention(
              Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
            to.attention(out, qkv, change.apply(shape), cache, batch);
          }
        },
        AttentionChecks::limitedAttention);
  }

  private abstract static class Defective extends ForwardingBackend {
    Defective() {
      super(new ReferenceBackend());
    }
  }

  private static final class NothingAppended extends Defective {
    @Override
    public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
      // The cache stays as it was.
    }
  }

  private static final class NoNormBias extends Defective {
    @Override
    public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
      try (DeviceMemory memory = allocateMemory()) {
        to.layerNorm(out, x, weight, memory.tensor(DType.F32, bias.shape()), epsilon);
      }
    }
  }

  private static final class NoMean extends Defective {
    @Override
    public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
      to.rmsNorm(out, x, weight, epsilon);
    }
  }

  private static final class NormReplaces extends Defective {
    @Override
    public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
      to.rmsNorm(out, x, weight, epsilon);
    }
  }

  private static final class OneHeadNorm extends Defective {
    @Override
    public void normHeads(
        Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
      to.normHeads(qkv, query, query, shape, epsilon);
    }
  }

  private static final class PositionsReplace extends Defective {
    @Override
    public void addEmbedding(Tensor out, Weight table, Tensor rows) {
      to.embed(out, table, rows);
    }
  }

  private static final class NoFactor extends Defective {
    @Override
    public void scale(Tensor x, float factor) {
      to.scale(x, 1);
    }
  }

  private static final class PlainGelu extends Defective {
    @Override
    public void activate(Tensor out, Tensor x, Activation activation) {
      to.activate(out, x, activation == Activation.GELU ? Activation.GELU_TANH : activation);
    }
  }

  private static final class Clipped extends Defective {
    @Override
    public void softCap(Tensor x, float cap) {
      for (long i = 0; i < x.elements(); i++) {
        float value = Floats.get(x.memory(), DType.F32, i);
        Floats.set(x.memory(), DType.F32, i, Math.clamp(value, -cap, cap));
      }
    }
  }
}
