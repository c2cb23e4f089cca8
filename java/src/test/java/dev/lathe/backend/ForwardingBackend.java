package dev.lathe.backend;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** Passes every call on; a planted defect overrides one. */
class ForwardingBackend implements Backend {
  final Backend to;

  ForwardingBackend(Backend to) {
    this.to = to;
  }

  @Override
  public String name() {
    return to.name();
  }

  @Override
  public DeviceInfo device() {
    return to.device();
  }

  @Override
  public DeviceMemory allocateMemory() {
    return to.allocateMemory();
  }

  @Override
  public Weight place(Weight weight, DeviceMemory memory) {
    return to.place(weight, memory);
  }

  @Override
  public Weight placeTable(Weight table, DeviceMemory memory) {
    return to.placeTable(table, memory);
  }

  @Override
  public Tensor placeF32(Tensor host, DeviceMemory memory) {
    return to.placeF32(host, memory);
  }

  @Override
  public void upload(MemorySegment host, Tensor device) {
    to.upload(host, device);
  }

  @Override
  public void download(Tensor device, MemorySegment host) {
    to.download(device, host);
  }

  @Override
  public void synchronize() {
    to.synchronize();
  }

  @Override
  public void embed(Tensor out, Weight table, Tensor tokens) {
    to.embed(out, table, tokens);
  }

  @Override
  public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    to.rmsNorm(out, x, weight, epsilon);
  }

  @Override
  public void addEmbedding(Tensor out, Weight table, Tensor rows) {
    to.addEmbedding(out, table, rows);
  }

  @Override
  public void scale(Tensor x, float factor) {
    to.scale(x, factor);
  }

  @Override
  public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    to.addRmsNorm(out, x, weight, epsilon);
  }

  @Override
  public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    to.layerNorm(out, x, weight, bias, epsilon);
  }

  @Override
  public void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    to.normHeads(qkv, query, key, shape, epsilon);
  }

  @Override
  public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    to.append(qkv, shape, cache, batch);
  }

  @Override
  public void activate(Tensor out, Tensor x, Activation activation) {
    to.activate(out, x, activation);
  }

  @Override
  public void softCap(Tensor x, float cap) {
    to.softCap(x, cap);
  }

  @Override
  public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    to.linear(out, x, layer, epilogue);
  }

  @Override
  public void normLinear(Tensor out, Tensor x, RmsNorm norm, Linear layer, Tensor normed) {
    to.normLinear(out, x, norm, layer, normed);
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
    to.normLinearGate(out, x, norm, layer, activation, normed, gateUp);
  }

  @Override
  public void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    to.rotateAndAppend(qkv, rotations, shape, cache, batch);
  }

  @Override
  public void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    to.attention(out, qkv, shape, cache, batch);
  }

  @Override
  public void gate(Tensor out, Tensor gateUp, Activation activation) {
    to.gate(out, gateUp, activation);
  }

  @Override
  public void gatherRows(Tensor out, Tensor x, Tensor rows) {
    to.gatherRows(out, x, rows);
  }

  @Override
  public void argmax(Tensor out, Tensor x) {
    to.argmax(out, x);
  }

  @Override
  public int sampledColumns() {
    return to.sampledColumns();
  }

  @Override
  public void sample(Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts) {
    to.sample(out, logits, draws, contexts);
  }

  @Override
  public List<DType> cacheTypes() {
    return to.cacheTypes();
  }

  @Override
  public Arithmetic arithmetic(Weight weight) {
    return to.arithmetic(weight);
  }

  @Override
  public long rowStride(long tokens, long cols) {
    return to.rowStride(tokens, cols);
  }

  @Override
  public DType cacheType(DType model, boolean quantized) {
    return to.cacheType(model, quantized);
  }

  @Override
  public void close() {
    to.close();
  }
}
