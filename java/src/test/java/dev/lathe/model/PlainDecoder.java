package dev.lathe.model;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.util.function.DoubleUnaryOperator;
import tools.jackson.databind.node.ObjectNode;

/**
 * Every architecture written a second time, from the papers and from what Hugging Face defines, in
 * double precision: one sequence, no cache, no batch, no backend, and no configuration but the raw
 * {@code config.json}. It shares nothing with {@link Decoder} but the tensors.
 */
final class PlainDecoder {
  private final Checkpoint checkpoint;
  private final ObjectNode config;
  private final String kind;

  PlainDecoder(Checkpoint checkpoint) {
    this.checkpoint = checkpoint;
    this.config = checkpoint.config();
    String name =
        config.has("architectures")
            ? config.get("architectures").get(0).asString()
            : config.get("model_type").asString();
    this.kind = name.toLowerCase(java.util.Locale.ROOT).replaceAll("for.*|lmhead.*", "");
  }

  /** Logits [tokens][vocabulary]. */
  double[][] logits(int[] tokens) {
    return kind.equals("gpt2") ? gpt2(tokens) : llamaLike(tokens);
  }

  private double[][] llamaLike(int[] tokens) {
    boolean gemma = kind.equals("gemma2");
    int hidden = config.get("hidden_size").asInt();
    int d = config.get("head_dim").asInt();
    int heads = config.get("num_attention_heads").asInt();
    int kvHeads = config.get("num_key_value_heads").asInt();
    double[][] x = rows("model.embed_tokens.weight", tokens);
    if (gemma) {
      each(x, value -> value * Math.sqrt(hidden));
    }
    for (int layer = 0; layer < config.get("num_hidden_layers").asInt(); layer++) {
      String name = "model.layers." + layer + ".";
      double[][] h = rms(x, name + "input_layernorm.weight");
      double[][] q;
      double[][] k;
      double[][] v;
      if (kind.equals("phi3")) {
        double[][] all = linear(h, name + "self_attn.qkv_proj");
        q = columns(all, 0, heads * d);
        k = columns(all, heads * d, (heads + kvHeads) * d);
        v = columns(all, (heads + kvHeads) * d, (heads + 2 * kvHeads) * d);
      } else {
        q = linear(h, name + "self_attn.q_proj");
        k = linear(h, name + "self_attn.k_proj");
        v = linear(h, name + "self_attn.v_proj");
      }
      if (kind.equals("qwen3")) {
        q = headwise(q, d, name + "self_attn.q_norm.weight");
        k = headwise(k, d, name + "self_attn.k_norm.weight");
      }
      rotate(q, d);
      rotate(k, d);
      double scale = Math.pow(gemma ? config.get("query_pre_attn_scalar").asDouble() : d, -0.5);
      double cap = gemma ? config.get("attn_logit_softcapping").asDouble() : 0;
      double[][] a = attend(q, k, v, d, scale, cap, window(layer));
      a = linear(a, name + "self_attn.o_proj");
      addTo(x, gemma ? rms(a, name + "post_attention_layernorm.weight") : a);

      h = rms(x, name + (gemma ? "pre_feedforward" : "post_attention") + "_layernorm.weight");
      double[][] gate;
      double[][] up;
      if (kind.equals("phi3")) {
        double[][] both = linear(h, name + "mlp.gate_up_proj");
        gate = columns(both, 0, both[0].length / 2);
        up = columns(both, both[0].length / 2, both[0].length);
      } else {
        gate = linear(h, name + "mlp.gate_proj");
        up = linear(h, name + "mlp.up_proj");
      }
      each(gate, gemma ? PlainDecoder::geluTanh : z -> z / (1 + Math.exp(-z)));
      for (int t = 0; t < gate.length; t++) {
        for (int i = 0; i < gate[t].length; i++) {
          gate[t][i] *= up[t][i];
        }
      }
      double[][] f = linear(gate, name + "mlp.down_proj");
      addTo(x, gemma ? rms(f, name + "post_feedforward_layernorm.weight") : f);
    }
    double[][] last = rms(x, "model.norm.weight");
    String head = checkpoint.hasWeight("lm_head") ? "lm_head" : "model.embed_tokens";
    double[][] logits = linear(last, head);
    if (gemma) {
      double cap = config.get("final_logit_softcapping").asDouble();
      each(logits, value -> cap * Math.tanh(value / cap));
    }
    return logits;
  }

  private double[][] gpt2(int[] tokens) {
    String prefix = checkpoint.hasWeight("transformer.wte") ? "transformer." : "";
    int heads = config.get("n_head").asInt();
    int hidden = config.get("n_embd").asInt();
    int[] positions = java.util.stream.IntStream.range(0, tokens.length).toArray();
    double[][] x = rows(prefix + "wte.weight", tokens);
    addTo(x, rows(prefix + "wpe.weight", positions));
    for (int layer = 0; layer < config.get("n_layer").asInt(); layer++) {
      String name = prefix + "h." + layer + ".";
      double[][] qkv = conv1d(layerNorm(x, name + "ln_1"), name + "attn.c_attn");
      double[][] q = columns(qkv, 0, hidden);
      double[][] k = columns(qkv, hidden, 2 * hidden);
      double[][] v = columns(qkv, 2 * hidden, 3 * hidden);
      int d = hidden / heads;
      double[][] a = attend(q, k, v, d, 1 / Math.sqrt(d), 0, Integer.MAX_VALUE);
      addTo(x, conv1d(a, name + "attn.c_proj"));
      double[][] f = conv1d(layerNorm(x, name + "ln_2"), name + "mlp.c_fc");
      each(f, PlainDecoder::geluTanh);
      addTo(x, conv1d(f, name + "mlp.c_proj"));
    }
    double[][] last = layerNorm(x, prefix + "ln_f");
    return linear(last, checkpoint.hasWeight("lm_head") ? "lm_head" : prefix + "wte");
  }

  /** How many tokens one sees in a layer. */
  private int window(int layer) {
    int all = Integer.MAX_VALUE;
    int size = config.has("sliding_window") ? config.get("sliding_window").asInt() : all;
    return switch (kind) {
      case "mistral", "phi3" -> size;
      case "gemma2" -> layer % 2 == 0 ? size : all;
      case "qwen2", "qwen3" ->
          config.has("use_sliding_window")
                  && config.get("use_sliding_window").asBoolean()
                  && layer >= config.get("max_window_layers").asInt()
              ? size
              : all;
      default -> all;
    };
  }

  private static double[][] attend(
      double[][] q, double[][] k, double[][] v, int d, double scale, double cap, int window) {
    int heads = q[0].length / d;
    int group = q[0].length / k[0].length;
    double[][] out = new double[q.length][q[0].length];
    for (int t = 0; t < q.length; t++) {
      for (int head = 0; head < heads; head++) {
        double sum = 0;
        double[] weights = new double[t + 1];
        for (int s = 0; s <= t; s++) {
          if (t - s >= window) {
            continue;
          }
          double score = 0;
          for (int i = 0; i < d; i++) {
            score += q[t][head * d + i] * k[s][head / group * d + i];
          }
          score *= scale;
          weights[s] = Math.exp(cap > 0 ? cap * Math.tanh(score / cap) : score);
          sum += weights[s];
        }
        for (int s = 0; s <= t; s++) {
          for (int i = 0; i < d; i++) {
            out[t][head * d + i] += weights[s] / sum * v[s][head / group * d + i];
          }
        }
      }
    }
    return out;
  }

  /** Pairs (i, i + d/2) as complex numbers, each turned by position times its frequency. */
  private void rotate(double[][] x, int d) {
    PlainRope rope = new PlainRope(config, d, x.length);
    for (int t = 0; t < x.length; t++) {
      for (int first = 0; first < x[t].length; first += d) {
        for (int i = 0; i < d / 2; i++) {
          double angle = t * rope.frequency(i);
          double real = x[t][first + i] * rope.magnitude();
          double imaginary = x[t][first + i + d / 2] * rope.magnitude();
          x[t][first + i] = real * Math.cos(angle) - imaginary * Math.sin(angle);
          x[t][first + i + d / 2] = real * Math.sin(angle) + imaginary * Math.cos(angle);
        }
      }
    }
  }

  private double[][] rms(double[][] x, String name) {
    double[] weight = vector(name);
    double[][] out = new double[x.length][];
    for (int t = 0; t < x.length; t++) {
      out[t] = rms(x[t], weight);
    }
    return out;
  }

  private double[] rms(double[] x, double[] weight) {
    double squares = 0;
    for (double value : x) {
      squares += value * value;
    }
    double root = Math.sqrt(squares / x.length + config.get("rms_norm_eps").asDouble());
    double[] out = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      out[i] = x[i] / root * (kind.equals("gemma2") ? 1 + weight[i] : weight[i]);
    }
    return out;
  }

  private double[][] headwise(double[][] x, int d, String name) {
    double[] weight = vector(name);
    double[][] out = new double[x.length][x[0].length];
    for (int t = 0; t < x.length; t++) {
      for (int first = 0; first < x[t].length; first += d) {
        double[] head = java.util.Arrays.copyOfRange(x[t], first, first + d);
        System.arraycopy(rms(head, weight), 0, out[t], first, d);
      }
    }
    return out;
  }

  private double[][] layerNorm(double[][] x, String module) {
    double[] weight = vector(module + ".weight");
    double[] bias = vector(module + ".bias");
    double[][] out = new double[x.length][x[0].length];
    for (int t = 0; t < x.length; t++) {
      double mean = java.util.Arrays.stream(x[t]).average().orElseThrow();
      double variance =
          java.util.Arrays.stream(x[t]).map(z -> (z - mean) * (z - mean)).average().orElseThrow();
      for (int i = 0; i < x[t].length; i++) {
        out[t][i] = (x[t][i] - mean) / Math.sqrt(variance + 1e-5) * weight[i] + bias[i];
      }
    }
    return out;
  }

  private static double geluTanh(double x) {
    return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * Math.pow(x, 3))));
  }

  /** Weights [outputs, inputs], and a bias where the checkpoint has one. */
  private double[][] linear(double[][] x, String module) {
    double[][] w = matrix(module + ".weight");
    double[][] out = new double[x.length][w.length];
    for (int t = 0; t < x.length; t++) {
      for (int r = 0; r < w.length; r++) {
        for (int c = 0; c < w[r].length; c++) {
          out[t][r] += x[t][c] * w[r][c];
        }
      }
    }
    return biased(out, module);
  }

  /** Weights [inputs, outputs]. */
  private double[][] conv1d(double[][] x, String module) {
    double[][] w = matrix(module + ".weight");
    double[][] out = new double[x.length][w[0].length];
    for (int t = 0; t < x.length; t++) {
      for (int r = 0; r < w.length; r++) {
        for (int c = 0; c < w[r].length; c++) {
          out[t][c] += x[t][r] * w[r][c];
        }
      }
    }
    return biased(out, module);
  }

  private double[][] biased(double[][] x, String module) {
    if (checkpoint.tensors().containsKey(module + ".bias")) {
      double[] bias = vector(module + ".bias");
      for (double[] row : x) {
        for (int i = 0; i < row.length; i++) {
          row[i] += bias[i];
        }
      }
    }
    return x;
  }

  private static double[][] columns(double[][] x, int from, int to) {
    double[][] out = new double[x.length][];
    for (int t = 0; t < x.length; t++) {
      out[t] = java.util.Arrays.copyOfRange(x[t], from, to);
    }
    return out;
  }

  private static void each(double[][] x, DoubleUnaryOperator function) {
    for (double[] row : x) {
      java.util.Arrays.setAll(row, i -> function.applyAsDouble(row[i]));
    }
  }

  private static void addTo(double[][] x, double[][] y) {
    for (int t = 0; t < x.length; t++) {
      for (int i = 0; i < x[t].length; i++) {
        x[t][i] += y[t][i];
      }
    }
  }

  private double[][] rows(String name, int[] indices) {
    double[][] table = matrix(name);
    double[][] out = new double[indices.length][];
    for (int i = 0; i < indices.length; i++) {
      out[i] = table[indices[i]].clone();
    }
    return out;
  }

  private double[] vector(String name) {
    float[] values = new float[(int) checkpoint.tensor(name).size(0)];
    Floats.readRow(checkpoint.tensor(name), 0, values);
    return doubles(values);
  }

  private double[][] matrix(String name) {
    Tensor tensor = checkpoint.tensor(name);
    double[][] rows = new double[(int) tensor.size(0)][];
    float[] row = new float[(int) tensor.size(1)];
    for (int r = 0; r < rows.length; r++) {
      Floats.readRow(tensor, r, row);
      rows[r] = doubles(row);
    }
    return rows;
  }

  private static double[] doubles(float[] values) {
    double[] out = new double[values.length];
    for (int i = 0; i < out.length; i++) {
      out[i] = values[i];
    }
    return out;
  }
}
