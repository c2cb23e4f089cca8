package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;

/** Mistakes in shapes, each of which must be refused before a kernel sees it. */
final class ShapeChecks {
  private ShapeChecks() {}

  static void wrongShapesAreRefused(Backend backend) {
    try (Bench bench = new Bench(backend, new SplittableRandom(5))) {
      mistakes(bench)
          .forEach((what, call) ->
              assertThatThrownBy(call::run)
                  .as(what)
                  .isInstanceOf(IllegalArgumentException.class)
                  .hasMessageContaining("["));
    }
  }

  private static Map<String, Runnable> mistakes(Bench bench) {
    Backend backend = bench.backend;
    Weight weight = bench.place(new Weight.Dense(bench.normal(6, 4)));
    Tensor three4 = bench.device(DType.F32, 3, 4);
    Tensor three5 = bench.device(DType.F32, 3, 5);
    Tensor three6 = bench.device(DType.F32, 3, 6);
    Tensor two6 = bench.device(DType.F32, 2, 6);
    Tensor two4 = bench.device(DType.F32, 2, 4);
    Tensor f16 = bench.device(DType.F16, 3, 6);
    Tensor indices = bench.device(DType.I32, 3);
    Tensor longs = bench.device(DType.I64, 3);
    Tensor five = bench.device(DType.F32, 5);
    Linear layer = Linear.of(weight);
    Linear biased = new Linear(weight, Optional.of(five));
    Map<String, Runnable> calls = new LinkedHashMap<>();
    calls.put("embed: too few rows", () -> backend.embed(two4, weight, indices));
    calls.put("embed: too many columns", () -> backend.embed(three5, weight, indices));
    calls.put("embed: tokens as I64", () -> backend.embed(three4, weight, longs));
    calls.put("linear: inputs", () -> backend.linear(three6, three5, layer, Epilogue.STORE));
    calls.put("linear: outputs", () -> backend.linear(three5, three4, layer, Epilogue.STORE));
    calls.put("linear: tokens", () -> backend.linear(two6, three4, layer, Epilogue.STORE));
    calls.put("linear: F16 out", () -> backend.linear(f16, three4, layer, Epilogue.STORE));
    calls.put("linear: bias", () -> backend.linear(three6, three4, biased, Epilogue.STORE));
    calls.put("rmsNorm: weight", () -> backend.rmsNorm(three4, three4, five, 1e-5f));
    calls.put("rmsNorm: out", () -> backend.rmsNorm(two4, three4, three4, 1e-5f));
    calls.put("gate: width", () -> backend.gate(three4, three6, Activation.SILU));
    calls.put("addEmbedding: rows", () -> backend.addEmbedding(two4, weight, indices));
    calls.put("addEmbedding: I64", () -> backend.addEmbedding(three4, weight, longs));
    calls.put("scale: F16", () -> backend.scale(f16, 2));
    calls.put("addRmsNorm: weight", () -> backend.addRmsNorm(three4, three4, five, 1e-5f));
    calls.put("addRmsNorm: out", () -> backend.addRmsNorm(two4, three4, five, 1e-5f));
    calls.put("layerNorm: bias", () -> backend.layerNorm(three5, three5, five, indices, 1e-5f));
    calls.put("layerNorm: out", () -> backend.layerNorm(three4, three5, five, five, 1e-5f));
    calls.put("activate: out", () -> backend.activate(three4, three5, Activation.GELU));
    calls.put("softCap: F16", () -> backend.softCap(f16, 2));
    calls.put("softCap: no cap", () -> backend.softCap(three4, 0));
    calls.put("gatherRows: rows", () -> backend.gatherRows(two4, three4, indices));
    calls.put("gatherRows: I64", () -> backend.gatherRows(three4, three4, longs));
    calls.put("argmax: out", () -> backend.argmax(indices, two4));
    calls.put("argmax: I64", () -> backend.argmax(longs, three4));
    calls.put("upload: bytes", () -> backend.upload(bench.normal(2, 4).memory(), three4));
    calls.put("download: bytes", () -> backend.download(three4, bench.normal(2, 4).memory()));

    AttentionShape shape = new AttentionShape(2, 1, 2, 1);
    Tensor qkv = bench.device(DType.F32, 3, 8);
    Tensor rotations = bench.device(DType.F32, 8, 2);
    KvLayer cache = cache(bench, 1, 2);
    BatchTensors batch =
        AttentionChecks.up(
            bench,
            new BatchTensors(
                bench.integers(0, 0, 0),
                bench.integers(0, 1, 2),
                bench.integers(0, 1, 2),
                bench.integers(0, 3),
                bench.integers(3),
                bench.integers(0, 1),
                bench.integers(0),
                bench.integers(2)));
    BatchTensors crooked =
        new BatchTensors(
            batch.tokens(),
            batch.positions(),
            bench.device(DType.I32, 2),
            bench.device(DType.I32, 3),
            batch.contextLengths(),
            batch.blockStarts(),
            batch.blocks(),
            batch.logitRows());
    Tensor two = bench.device(DType.F32, 2);
    calls.put("normHeads: qkv", () -> backend.normHeads(three6, two, two, shape, 1e-5f));
    calls.put("normHeads: key", () -> backend.normHeads(qkv, two, five, shape, 1e-5f));
    calls.put("append: qkv", () -> backend.append(three6, shape, cache, batch));
    calls.put("append: heads", () -> backend.append(qkv, shape, cache(bench, 2, 2), batch));
    calls.put("append: batch", () -> backend.append(qkv, shape, cache, crooked));
    calls.put("rotate: qkv", () -> backend.rotateAndAppend(three6, rotations, shape, cache, batch));
    calls.put("rotate: table", () -> backend.rotateAndAppend(qkv, three4, shape, cache, batch));
    calls.put(
        "rotate: heads",
        () -> backend.rotateAndAppend(qkv, rotations, shape, cache(bench, 2, 2), batch));
    calls.put(
        "rotate: batch", () -> backend.rotateAndAppend(qkv, rotations, shape, cache, crooked));
    calls.put("attention: qkv", () -> backend.attention(three4, three6, shape, cache, batch));
    calls.put("attention: out", () -> backend.attention(three5, qkv, shape, cache, batch));
    calls.put(
        "attention: headDim",
        () -> backend.attention(three4, qkv, shape, cache(bench, 1, 4), batch));
    calls.put("attention: batch", () -> backend.attention(three4, qkv, shape, cache, crooked));
    return calls;
  }

  private static KvLayer cache(Bench bench, int kvHeads, int headDim) {
    return new KvLayer(
        bench.device(DType.F32, 2, kvHeads, 4, headDim),
        bench.device(DType.F32, 2, kvHeads, 4, headDim));
  }
}
