package dev.lathe.model;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;

/**
 * Llama written a second time, from the paper and in double precision: no cache, no batch, no
 * backend, nothing shared with {@link Decoder}. What both agree on is not one mistake made twice.
 */
public final class PlainLlama {
  private final Checkpoint checkpoint;
  private final ModelConfig config;

  public PlainLlama(Checkpoint checkpoint) {
    this.checkpoint = checkpoint;
    this.config = ModelConfig.parse(checkpoint.config(), "test");
  }

  /** Logits [tokens][vocabulary] of one sequence. */
  public double[][] logits(int[] tokens) {
    int n = tokens.length;
    double[][] embedding = matrix("model.embed_tokens.weight");
    double[][] x = new double[n][];
    for (int t = 0; t < n; t++) {
      x[t] = embedding[tokens[t]].clone();
    }
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = "model.layers." + layer + ".";
      double[][] h = norm(x, name + "input_layernorm.weight");
      double[][] q = rotate(times(h, name + "self_attn.q_proj.weight"), config.heads());
      double[][] k = rotate(times(h, name + "self_attn.k_proj.weight"), config.kvHeads());
      double[][] v = times(h, name + "self_attn.v_proj.weight");
      addTo(x, times(attend(q, k, v), name + "self_attn.o_proj.weight"));
      h = norm(x, name + "post_attention_layernorm.weight");
      double[][] gate = times(h, name + "mlp.gate_proj.weight");
      double[][] up = times(h, name + "mlp.up_proj.weight");
      for (int t = 0; t < n; t++) {
        for (int i = 0; i < gate[t].length; i++) {
          gate[t][i] = gate[t][i] / (1 + Math.exp(-gate[t][i])) * up[t][i];
        }
      }
      addTo(x, times(gate, name + "mlp.down_proj.weight"));
    }
    return times(norm(x, "model.norm.weight"), "lm_head.weight");
  }

  private double[][] attend(double[][] q, double[][] k, double[][] v) {
    int d = config.headDim();
    double[][] out = new double[q.length][config.heads() * d];
    for (int t = 0; t < q.length; t++) {
      for (int head = 0; head < config.heads(); head++) {
        int shared = head * config.kvHeads() / config.heads();
        double[] weights = new double[t + 1];
        double sum = 0;
        for (int s = 0; s <= t; s++) {
          double dot = 0;
          for (int i = 0; i < d; i++) {
            dot += q[t][head * d + i] * k[s][shared * d + i];
          }
          weights[s] = Math.exp(dot / Math.sqrt(d));
          sum += weights[s];
        }
        for (int s = 0; s <= t; s++) {
          for (int i = 0; i < d; i++) {
            out[t][head * d + i] += weights[s] / sum * v[s][shared * d + i];
          }
        }
      }
    }
    return out;
  }

  /** Pairs (i, i + d/2) as complex numbers, turned by position * theta^(-2i/d). */
  private double[][] rotate(double[][] x, int heads) {
    int d = config.headDim();
    for (int t = 0; t < x.length; t++) {
      for (int head = 0; head < heads; head++) {
        for (int i = 0; i < d / 2; i++) {
          double angle =
              t / Math.pow(checkpoint.config().get("rope_theta").asDouble(), 2.0 * i / d);
          double real = x[t][head * d + i];
          double imaginary = x[t][head * d + i + d / 2];
          x[t][head * d + i] = real * Math.cos(angle) - imaginary * Math.sin(angle);
          x[t][head * d + i + d / 2] = real * Math.sin(angle) + imaginary * Math.cos(angle);
        }
      }
    }
    return x;
  }

  private double[][] norm(double[][] x, String name) {
    float[] weight = new float[config.hidden()];
    Floats.readRow(checkpoint.tensor(name), 0, weight);
    double[][] out = new double[x.length][config.hidden()];
    for (int t = 0; t < x.length; t++) {
      double squares = 0;
      for (double value : x[t]) {
        squares += value * value;
      }
      double scale = 1 / Math.sqrt(squares / config.hidden() + config.normEpsilon());
      for (int i = 0; i < config.hidden(); i++) {
        out[t][i] = x[t][i] * scale * weight[i];
      }
    }
    return out;
  }

  private double[][] times(double[][] x, String name) {
    double[][] w = matrix(name);
    double[][] out = new double[x.length][w.length];
    for (int t = 0; t < x.length; t++) {
      for (int r = 0; r < w.length; r++) {
        for (int c = 0; c < w[r].length; c++) {
          out[t][r] += x[t][c] * w[r][c];
        }
      }
    }
    return out;
  }

  private static void addTo(double[][] x, double[][] y) {
    for (int t = 0; t < x.length; t++) {
      for (int i = 0; i < x[t].length; i++) {
        x[t][i] += y[t][i];
      }
    }
  }

  private double[][] matrix(String name) {
    Tensor tensor = checkpoint.tensor(name);
    double[][] rows = new double[(int) tensor.size(0)][(int) tensor.size(1)];
    float[] row = new float[(int) tensor.size(1)];
    for (int r = 0; r < rows.length; r++) {
      Floats.readRow(tensor, r, row);
      for (int c = 0; c < row.length; c++) {
        rows[r][c] = row[c];
      }
    }
    return rows;
  }
}
