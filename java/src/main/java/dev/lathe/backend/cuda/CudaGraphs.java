package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceRecord.Kind;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Optional;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Sequences of launches that are repeated, as CUDA graphs: one call instead of hundreds, so that
 * the device never waits for the host.
 *
 * <p>The first time, operations just run: modules are loaded and workspaces grow, which a capture
 * forbids. The second time they are captured, and from then on the graph is launched. Arguments are
 * in the graph as they were; what may change lies in memory that they point to.
 */
final class CudaGraphs implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(CudaGraphs.class);

  /** Batch sizes and lengths of block tables that are in use together; each takes some 100 KB. */
  private static final int MOST = 64;

  private final CudaContext context;

  /** Least recently used first; empty for operations that ran once and are not captured yet. */
  private final LinkedHashMap<Object, Optional<CUgraphExec>> graphs =
      new LinkedHashMap<>(16, 0.75f, true);

  private long captures;
  private long lastNodes;
  private long replays;

  CudaGraphs(CudaContext context) {
    this.context = context;
  }

  void run(Object key, Runnable operations) {
    context.enter();
    if (!graphs.containsKey(key)) {
      operations.run();
      remember(key, Optional.empty());
      return;
    }
    Optional<CUgraphExec> known = graphs.get(key);
    Kind kind = Kind.REPLAYED;
    if (known.isEmpty()) {
      known = Optional.of(capture(operations));
      remember(key, known);
      kind = Kind.CAPTURED;
    } else {
      replays++;
    }
    LaunchListener listener = context.listener();
    listener.before(kind, "graph", Arithmetic.F32, 0);
    context.check(JCudaDriver.cuGraphLaunch(known.get(), context.stream()), "cuGraphLaunch");
    listener.after();
    context.launched("in a graph (LATHE_CUDA_GRAPHS=0 runs without, and names it)");
  }

  private CUgraphExec capture(Runnable operations) {
    CUgraph graph = new CUgraph();
    context.check(
        JCudaDriver.cuStreamBeginCapture(
            context.stream(), CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
        "cuStreamBeginCapture");
    context.setCapturing(true);
    try {
      operations.run();
    } catch (RuntimeException | Error e) {
      context.setCapturing(false);
      // The capture has to end whatever became of it; its own failure is told by e.
      if (JCudaDriver.cuStreamEndCapture(context.stream(), graph) == 0) {
        context.release(JCudaDriver.cuGraphDestroy(graph), "cuGraphDestroy");
      }
      throw e;
    }
    context.setCapturing(false);
    context.check(JCudaDriver.cuStreamEndCapture(context.stream(), graph), "cuStreamEndCapture");
    long[] nodes = new long[1];
    int counted = JCudaDriver.cuGraphGetNodes(graph, null, nodes);
    CUgraphExec executable = new CUgraphExec();
    int result = JCudaDriver.cuGraphInstantiate(executable, graph, 0);
    context.release(JCudaDriver.cuGraphDestroy(graph), "cuGraphDestroy");
    context.check(counted, "cuGraphGetNodes");
    context.check(result, "cuGraphInstantiate");
    captures++;
    lastNodes = nodes[0];
    log.debug("captured a step of {} launches", lastNodes);
    return executable;
  }

  private void remember(Object key, Optional<CUgraphExec> graph) {
    graphs.put(key, graph);
    if (graphs.size() > MOST) {
      Iterator<Optional<CUgraphExec>> oldest = graphs.values().iterator();
      Optional<CUgraphExec> dropped = oldest.next();
      oldest.remove();
      context.synchronize("drop a graph");
      destroy(dropped);
    }
  }

  private void destroy(Optional<CUgraphExec> graph) {
    graph.ifPresent(g -> context.release(JCudaDriver.cuGraphExecDestroy(g), "cuGraphExecDestroy"));
  }

  /** Graphs that were captured so far. */
  long captures() {
    return captures;
  }

  /** Kernels, copies and fills of the graph that was captured last: what a step is made of. */
  long lastNodes() {
    return lastNodes;
  }

  /** Launches of graphs instead of operations so far, those right after a capture not counted. */
  long replays() {
    return replays;
  }

  /** Forgets everything: memory that the graphs point to is about to go. */
  void clear() {
    if (!graphs.isEmpty()) {
      context.enter();
      if (!context.isLost()) {
        context.synchronize("drop graphs");
      }
      graphs.values().forEach(this::destroy);
      graphs.clear();
    }
  }

  @Override
  public void close() {
    clear();
  }
}
