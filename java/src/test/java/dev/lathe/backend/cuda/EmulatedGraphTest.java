package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.TestDevice.check;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntSupplier;
import jcuda.Pointer;
import jcuda.driver.CUDA_KERNEL_NODE_PARAMS;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUfunction;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUgraphNode;
import jcuda.driver.CUpointer_attribute;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.CUstreamCaptureStatus;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Stream capture by the driver's rules, and graphs: captured, made by hand, changed, launched. */
@Tag("cuda")
class EmulatedGraphTest {
  private static final int NON_BLOCKING = 1;
  private static final int GLOBAL = CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL;
  private static final int RELAXED = CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED;
  private static final int COUNT = 64;

  private Emulator emulator;
  private TestDevice device;
  private CUstream stream;

  @BeforeEach
  void openDevice() {
    emulator = CheckedEmulator.fresh();
    device = new TestDevice();
    stream = stream(NON_BLOCKING);
  }

  @AfterEach
  void closeDevice() {
    if (device != null) {
      device.close();
    }
  }

  /**
   * Copy in, kernel, copy out: what is in the pinned buffers when the graph runs is what counts.
   */
  @ParameterizedTest
  @ValueSource(strings = {"late", "random:1", "random:2", "concurrent"})
  void capturedStepIsReplayedOnWhatIsThereThen(String timing) {
    emulator.setStreams(timing);
    Pointer in = device.pinned(4L * COUNT);
    Pointer out = device.pinned(4);
    CUdeviceptr x = device.allocate(4L * COUNT);
    CUdeviceptr sum = device.allocate(4);
    fill(in, COUNT, 1);
    fill(out, 1, -1);

    beginCapture(GLOBAL);
    check(JCudaDriver.cuMemsetD32Async(sum, 0, 1, stream));
    check(JCudaDriver.cuMemcpyHtoDAsync(x, in, 4L * COUNT, stream));
    check(launchSum(sum, x, stream));
    check(JCudaDriver.cuMemcpyDtoHAsync(out, sum, 4, stream));
    CUgraph graph = endCapture();
    assertThat(nodeCount(graph)).isEqualTo(4);
    CUgraphExec executable = instantiate(graph);
    check(JCudaDriver.cuGraphDestroy(graph)); // the executable is a copy
    check(JCudaDriver.cuStreamSynchronize(stream));
    assertThat(read(out)).as("nothing runs while it is captured").isEqualTo(-1);

    check(JCudaDriver.cuGraphUpload(executable, stream));
    for (int value = 2; value <= 4; value++) {
      fill(in, COUNT, value);
      check(JCudaDriver.cuGraphLaunch(executable, stream));
      check(JCudaDriver.cuStreamSynchronize(stream));
      assertThat(read(out)).isEqualTo(value * COUNT);
    }
    check(JCudaDriver.cuGraphExecDestroy(executable));
    assertThat(emulator.lastReport()).isEmpty();
  }

  /** Arguments are copied when the launch is captured, by the sizes that the kernel declares. */
  @Test
  void argumentsAreThoseOfTheCapture() {
    CUdeviceptr x = device.upload(ones());
    CUdeviceptr first = device.upload(new float[] {-1});
    CUdeviceptr second = device.upload(new float[] {-1});
    long[] target = {address(first)};
    beginCapture(GLOBAL);
    Pointer arguments = Pointer.to(Pointer.to(target), Pointer.to(x));
    check(
        JCudaDriver.cuLaunchKernel(
            sumFunction(), 1, 1, 1, COUNT, 1, 1, 0, stream, arguments, null));
    target[0] = address(second);
    CUgraphExec executable = instantiate(endCapture());
    check(JCudaDriver.cuGraphLaunch(executable, stream));
    check(JCudaDriver.cuStreamSynchronize(stream));
    assertThat(device.downloadFloats(first, 1)).containsExactly(COUNT);
    assertThat(device.downloadFloats(second, 1)).containsExactly(-1);
  }

  /** A fork by an event makes branches, and the graph orders what they share. */
  @ParameterizedTest
  @ValueSource(strings = {"late", "random:1", "random:2", "random:3", "concurrent"})
  void forkAndJoinBecomeEdges(String timing) {
    emulator.setStreams(timing);
    CUdeviceptr x = device.allocate(4L * COUNT);
    CUdeviceptr left = device.allocate(4);
    CUdeviceptr right = device.allocate(4);
    CUdeviceptr both = device.allocate(8);
    CUdeviceptr ones = device.upload(ones());
    CUstream other = stream(NON_BLOCKING);
    CUevent forked = event();
    CUevent joined = event();

    beginCapture(GLOBAL);
    check(JCudaDriver.cuMemcpyDtoDAsync(x, ones, 4L * COUNT, stream));
    check(JCudaDriver.cuEventRecord(forked, stream));
    check(JCudaDriver.cuStreamWaitEvent(other, forked, 0));
    assertThat(captureStatus(other))
        .isEqualTo(CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE);
    check(launchSum(left, x, stream));
    check(launchSum(right, x, other));
    check(JCudaDriver.cuEventRecord(joined, other));
    check(JCudaDriver.cuStreamWaitEvent(stream, joined, 0));
    check(JCudaDriver.cuMemcpyDtoDAsync(both, left, 4, stream));
    check(JCudaDriver.cuMemcpyDtoDAsync(both.withByteOffset(4), right, 4, stream));
    CUgraph graph = endCapture();
    assertThat(captureStatus(other)).isZero();

    long[] edges = {0};
    check(JCudaDriver.cuGraphGetEdges(graph, null, null, edges));
    assertThat(edges[0]).isEqualTo(5);
    long[] roots = {0};
    check(JCudaDriver.cuGraphGetRootNodes(graph, null, roots));
    assertThat(roots[0]).isEqualTo(1);

    CUgraphExec executable = instantiate(graph);
    check(JCudaDriver.cuGraphLaunch(executable, stream));
    check(JCudaDriver.cuGraphLaunch(executable, other)); // after the first: it is the same graph
    check(JCudaDriver.cuStreamSynchronize(other));
    assertThat(device.downloadFloats(both, 2)).containsExactly(COUNT, COUNT);
    assertThat(emulator.lastReport()).isEmpty();
  }

  /**
   * The canary: two nodes without an edge share memory. It is found in whichever order they ran.
   */
  @ParameterizedTest
  @ValueSource(strings = {"late", "random:1", "random:2", "concurrent"})
  void missingEdgeIsCaught(String timing) {
    emulator.setStreams(timing);
    CUdeviceptr ones = device.upload(ones());
    CUdeviceptr x = device.upload(ones());
    CUgraph graph = new CUgraph();
    check(JCudaDriver.cuGraphCreate(graph, 0));
    addSum(graph, x, ones);
    addSum(graph, device.allocate(4), x);
    JCudaDriver.cuGraphLaunch(instantiate(graph), stream); // it may run, and fail, at once
    assertThat(JCudaDriver.cuStreamSynchronize(stream)).isNotZero();
    assertThat(emulator.lastReport()).contains("kernel block_sum_right", "race between streams");
  }

  @Test
  void graphMadeByHandIsTheSame() {
    CUdeviceptr x = device.upload(ones());
    CUdeviceptr sum = device.allocate(4);
    CUdeviceptr other = device.upload(new float[] {-1});
    CUgraph graph = new CUgraph();
    check(JCudaDriver.cuGraphCreate(graph, 0));
    CUgraphNode node = addSum(graph, sum, x);
    int[] type = {-1};
    check(JCudaDriver.cuGraphNodeGetType(node, type));
    assertThat(type[0]).isZero(); // CU_GRAPH_NODE_TYPE_KERNEL
    CUDA_KERNEL_NODE_PARAMS read = new CUDA_KERNEL_NODE_PARAMS();
    check(JCudaDriver.cuGraphKernelNodeGetParams(node, read));
    assertThat(List.of(read.gridDimX, read.blockDimX, read.sharedMemBytes))
        .containsExactly(1, COUNT, 0);

    CUgraphExec executable = instantiate(graph);
    check(JCudaDriver.cuGraphLaunch(executable, stream));
    // Another target: from the next launch on, and only in the executable graph.
    check(JCudaDriver.cuGraphExecKernelNodeSetParams(executable, node, sumParameters(other, x)));
    check(JCudaDriver.cuStreamSynchronize(stream));
    assertThat(device.downloadFloats(sum, 1)).containsExactly(COUNT);
    assertThat(device.downloadFloats(other, 1)).containsExactly(-1);
    check(JCudaDriver.cuGraphLaunch(executable, stream));
    check(JCudaDriver.cuStreamSynchronize(stream));
    assertThat(device.downloadFloats(other, 1)).containsExactly(COUNT);

    CUgraph child = new CUgraph();
    check(JCudaDriver.cuGraphCreate(child, 0));
    CUgraphNode zero = new CUgraphNode();
    check(JCudaDriver.cuGraphAddEmptyNode(zero, child, null, 0));
    CUgraphNode nested = new CUgraphNode();
    CUgraphNode[] before = {zero};
    check(JCudaDriver.cuGraphAddChildGraphNode(nested, child, before, 1, graph));
    check(JCudaDriver.cuMemsetD32Async(sum, 0, 1, stream));
    check(JCudaDriver.cuGraphLaunch(instantiate(child), stream));
    check(JCudaDriver.cuStreamSynchronize(stream));
    assertThat(device.downloadFloats(sum, 1)).containsExactly(COUNT);

    CUgraphNode[] circle = {nested};
    check(JCudaDriver.cuGraphAddDependencies(child, circle, before, 1));
    assertThat(JCudaDriver.cuGraphInstantiate(new CUgraphExec(), child, 0)).isEqualTo(1);
  }

  /** What a capture doesn't allow: its error, and the capture is invalid then. */
  static List<Arguments> forbidden() {
    float[] host = new float[1];
    List<Arguments> all = new ArrayList<>();
    all.add(forbidden("cuMemAlloc", 900, test -> JCudaDriver.cuMemAlloc(new CUdeviceptr(), 4)));
    all.add(forbidden("cuMemFree", 900, test -> JCudaDriver.cuMemFree(test.buffer)));
    all.add(forbidden("cuCtxSynchronize", 900, test -> JCudaDriver.cuCtxSynchronize()));
    all.add(
        forbidden(
            "cuStreamSynchronize", 900, test -> JCudaDriver.cuStreamSynchronize(test.stream)));
    all.add(forbidden("cuStreamQuery", 900, test -> JCudaDriver.cuStreamQuery(test.stream)));
    all.add(
        forbidden(
            "cuMemcpyDtoH",
            900,
            test -> JCudaDriver.cuMemcpyDtoH(Pointer.to(host), test.buffer, 4)));
    all.add(
        forbidden(
            "copy from pageable memory",
            900,
            test -> JCudaDriver.cuMemcpyHtoDAsync(test.buffer, Pointer.to(host), 4, test.stream)));
    all.add(
        forbidden(
            "wait for what was recorded outside",
            905,
            test -> {
              CUevent event = event();
              check(JCudaDriver.cuEventRecord(event, stream(NON_BLOCKING)));
              return JCudaDriver.cuStreamWaitEvent(test.stream, event, 0);
            }));
    all.add(
        forbidden(
            "wait for an event of the capture",
            907,
            test -> {
              CUevent event = event();
              check(JCudaDriver.cuEventRecord(event, test.stream));
              return JCudaDriver.cuEventSynchronize(event);
            }));
    all.add(
        forbidden(
            "merge of two captures",
            902,
            test -> {
              CUstream second = stream(NON_BLOCKING);
              check(JCudaDriver.cuStreamBeginCapture(second, GLOBAL));
              CUevent event = event();
              check(JCudaDriver.cuEventRecord(event, second));
              int result = JCudaDriver.cuStreamWaitEvent(test.stream, event, 0);
              assertThat(JCudaDriver.cuStreamEndCapture(second, new CUgraph())).isEqualTo(901);
              return result;
            }));
    return all;
  }

  interface Call {
    int on(Capturing capturing);
  }

  record Capturing(CUstream stream, CUdeviceptr buffer) {}

  private static Arguments forbidden(String name, int result, Call call) {
    return Arguments.of(name, result, call);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("forbidden")
  void captureForbids(String name, int result, Call call) {
    CUdeviceptr buffer = device.allocate(4);
    beginCapture(GLOBAL);
    assertThat(CUresult.stringFor(call.on(new Capturing(stream, buffer))))
        .isEqualTo(CUresult.stringFor(result));
    int[] status = {0};
    check(JCudaDriver.cuStreamIsCapturing(stream, status));
    assertThat(status[0]).isEqualTo(CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    assertThat(JCudaDriver.cuMemsetD32Async(buffer, 0, 1, stream)).isEqualTo(901);
    assertThat(JCudaDriver.cuStreamEndCapture(stream, new CUgraph())).isEqualTo(901);
    check(JCudaDriver.cuStreamIsCapturing(stream, status));
    assertThat(status[0]).isZero();
    check(JCudaDriver.cuStreamSynchronize(stream));
  }

  @Test
  void relaxedCaptureAllowsWhatIsOnlyUnsafe() {
    beginCapture(RELAXED);
    CUdeviceptr buffer = device.allocate(4);
    check(JCudaDriver.cuMemsetD32Async(buffer, 0, 1, stream));
    assertThat(nodeCount(endCapture())).isEqualTo(1);
  }

  /** The default stream would wait for a blocking stream, which captures. */
  @Test
  void defaultStreamDisturbsTheCaptureOfABlockingStream() {
    CUdeviceptr buffer = device.allocate(4);
    CUstream blocking = stream(0);
    check(JCudaDriver.cuStreamBeginCapture(blocking, GLOBAL));
    assertThat(JCudaDriver.cuMemsetD32Async(buffer, 0, 1, null)).isEqualTo(906);
    assertThat(JCudaDriver.cuStreamEndCapture(blocking, new CUgraph())).isEqualTo(901);
    // A non-blocking stream's is not.
    beginCapture(GLOBAL);
    check(JCudaDriver.cuMemsetD32Async(buffer, 0, 1, null));
    assertThat(nodeCount(endCapture())).isZero();
  }

  @Test
  void captureEndsWhereItBegan() {
    CUstream other = stream(NON_BLOCKING);
    assertThat(JCudaDriver.cuStreamEndCapture(stream, new CUgraph())).isEqualTo(401);
    beginCapture(GLOBAL);
    assertThat(JCudaDriver.cuStreamBeginCapture(stream, GLOBAL)).isEqualTo(401);
    CUevent fork = event();
    check(JCudaDriver.cuEventRecord(fork, stream));
    check(JCudaDriver.cuStreamWaitEvent(other, fork, 0));
    check(JCudaDriver.cuMemsetD32Async(device(4), 0, 1, other));
    assertThat(JCudaDriver.cuStreamEndCapture(stream, new CUgraph()))
        .as("the other stream was not joined")
        .isEqualTo(904);
    assertThat(captureStatus(other)).isZero();
  }

  /** A global capture forbids unsafe calls to all threads, and ends in the thread that began it. */
  @Test
  void otherThreadsAreHeldToItToo() {
    CUdeviceptr buffer = device.allocate(4);
    beginCapture(CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    assertThat(inThread(() -> JCudaDriver.cuMemAlloc(new CUdeviceptr(), 4))).isZero();
    check(JCudaDriver.cuMemsetD32Async(buffer, 0, 1, stream));
    assertThat(inThread(() -> JCudaDriver.cuStreamEndCapture(stream, new CUgraph())))
        .isEqualTo(908);
    assertThat(JCudaDriver.cuStreamEndCapture(stream, new CUgraph())).isEqualTo(901);

    beginCapture(GLOBAL);
    assertThat(inThread(() -> JCudaDriver.cuMemAlloc(new CUdeviceptr(), 4))).isEqualTo(900);
    assertThat(JCudaDriver.cuStreamEndCapture(stream, new CUgraph())).isEqualTo(901);
  }

  private CUdeviceptr device(long bytes) {
    // Before a capture began nothing was allocated for it, and now the mode forbids it.
    int[] mode = {RELAXED};
    check(JCudaDriver.cuThreadExchangeStreamCaptureMode(mode));
    CUdeviceptr pointer = device.allocate(bytes);
    check(JCudaDriver.cuThreadExchangeStreamCaptureMode(mode));
    assertThat(mode[0]).isEqualTo(RELAXED);
    return pointer;
  }

  private int inThread(IntSupplier call) {
    return CompletableFuture.supplyAsync(
            () -> {
              device.makeCurrent();
              return call.getAsInt();
            },
            command -> Thread.ofPlatform().start(command))
        .join();
  }

  private void beginCapture(int mode) {
    check(JCudaDriver.cuStreamBeginCapture(stream, mode));
  }

  private CUgraph endCapture() {
    CUgraph graph = new CUgraph();
    check(JCudaDriver.cuStreamEndCapture(stream, graph));
    return graph;
  }

  private static CUgraphExec instantiate(CUgraph graph) {
    CUgraphExec executable = new CUgraphExec();
    check(JCudaDriver.cuGraphInstantiate(executable, graph, 0));
    return executable;
  }

  private CUgraphNode addSum(CUgraph graph, CUdeviceptr out, CUdeviceptr in) {
    CUgraphNode node = new CUgraphNode();
    check(JCudaDriver.cuGraphAddKernelNode(node, graph, null, 0, sumParameters(out, in)));
    return node;
  }

  private CUDA_KERNEL_NODE_PARAMS sumParameters(CUdeviceptr out, CUdeviceptr in) {
    CUDA_KERNEL_NODE_PARAMS parameters = new CUDA_KERNEL_NODE_PARAMS();
    parameters.func = sumFunction();
    parameters.gridDimX = parameters.gridDimY = parameters.gridDimZ = 1;
    parameters.blockDimX = COUNT;
    parameters.blockDimY = parameters.blockDimZ = 1;
    parameters.kernelParams = Pointer.to(Pointer.to(out), Pointer.to(in));
    return parameters;
  }

  private int launchSum(CUdeviceptr out, CUdeviceptr in, CUstream to) {
    Pointer arguments = Pointer.to(Pointer.to(out), Pointer.to(in));
    return JCudaDriver.cuLaunchKernel(sumFunction(), 1, 1, 1, COUNT, 1, 1, 0, to, arguments, null);
  }

  private CUfunction sumFunction() {
    int[] mode = {RELAXED}; // it loads the module when it is first asked for
    check(JCudaDriver.cuThreadExchangeStreamCaptureMode(mode));
    CUfunction function = device.function("test/faults", "block_sum_right");
    check(JCudaDriver.cuThreadExchangeStreamCaptureMode(mode));
    return function;
  }

  /** Their number only: JCuda 12.6 passes the driver no size with the array that it would fill. */
  private static long nodeCount(CUgraph graph) {
    long[] count = {-1};
    check(JCudaDriver.cuGraphGetNodes(graph, null, count));
    return count[0];
  }

  private static int captureStatus(CUstream stream) {
    int[] status = {-1};
    check(JCudaDriver.cuStreamIsCapturing(stream, status));
    return status[0];
  }

  private static long address(CUdeviceptr pointer) {
    long[] value = {0};
    check(
        JCudaDriver.cuPointerGetAttribute(
            Pointer.to(value), CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_POINTER, pointer));
    return value[0];
  }

  private static float[] ones() {
    float[] ones = new float[COUNT];
    Arrays.fill(ones, 1);
    return ones;
  }

  private static void fill(Pointer pinned, int count, float value) {
    ByteBuffer bytes = pinned.getByteBuffer(0, 4L * count).order(ByteOrder.nativeOrder());
    for (int i = 0; i < count; i++) {
      bytes.putFloat(4 * i, value);
    }
  }

  private static float read(Pointer pinned) {
    return pinned.getByteBuffer(0, 4).order(ByteOrder.nativeOrder()).getFloat(0);
  }

  private static CUstream stream(int flags) {
    CUstream stream = new CUstream();
    check(JCudaDriver.cuStreamCreate(stream, flags));
    return stream;
  }

  private static CUevent event() {
    CUevent event = new CUevent();
    check(JCudaDriver.cuEventCreate(event, 0));
    return event;
  }
}
