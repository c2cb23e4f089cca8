package dev.lathe.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Device memory in blocks, handed out in pieces. Asking the driver for memory takes some 100
 * microseconds and giving it back waits for the device; a piece of a block costs neither. What is
 * large gets a block of its own, which goes back to the driver with it.
 *
 * <p>A piece that was given back may be handed out again while kernels still use it: everything
 * runs on one stream, so whoever gets it next comes after them.
 */
final class CudaPool implements AutoCloseable {
  /** Pieces start at multiples of this: a cache line, and what the widest copies want. */
  static final long ALIGNMENT_BYTES = 256;

  /** Where the blocks come from. */
  interface Driver {
    /** The address of so many bytes; 0 where the device has not that much. */
    long allocate(long bytes);

    void release(long address);
  }

  private static final class Block {
    final long address;
    final long bytes;

    /** Free ranges: bytes by address; no two of them touch. */
    final TreeMap<Long, Long> free = new TreeMap<>();

    Block(long address, long bytes) {
      this.address = address;
      this.bytes = bytes;
      free.put(address, bytes);
    }

    boolean holds(long piece) {
      return piece >= address && piece < address + bytes;
    }

    boolean isEmpty() {
      return free.size() == 1 && free.firstEntry().getValue() == bytes;
    }
  }

  private final Driver driver;
  private final long blockBytes;
  private final List<Block> blocks = new ArrayList<>();
  private final Map<Long, Long> pieces = new TreeMap<>();
  private long usedBytes;
  private long highWaterBytes;

  /**
   * @param blockBytes size of a block that is shared; 0 gives each piece a block of just its size,
   *     so that an emulated GPU sees what is written past its end
   */
  CudaPool(Driver driver, long blockBytes) {
    this.driver = driver;
    this.blockBytes = blockBytes;
  }

  /** The address of so many bytes, with anything in them; 0 where the device has not that much. */
  long take(long bytes) {
    long size = Math.max(1, bytes);
    if (blockBytes > 0) {
      size = Math.ceilDiv(size, ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    }
    long address = size > blockBytes / 2 ? ownBlock(size) : shared(size);
    if (address != 0) {
      pieces.put(address, size);
      usedBytes += size;
      highWaterBytes = Math.max(highWaterBytes, usedBytes);
    }
    return address;
  }

  private long ownBlock(long size) {
    Block block = newBlock(size);
    if (block == null) {
      return 0;
    }
    block.free.clear();
    return block.address;
  }

  private long shared(long size) {
    Block best = null;
    long bestAddress = 0;
    long bestBytes = Long.MAX_VALUE;
    for (Block block : blocks) {
      for (Map.Entry<Long, Long> range : block.free.entrySet()) {
        if (range.getValue() >= size && range.getValue() < bestBytes) {
          best = block;
          bestAddress = range.getKey();
          bestBytes = range.getValue();
        }
      }
    }
    if (best == null) {
      best = newBlock(blockBytes);
      if (best == null) {
        return ownBlock(size); // little is left, but perhaps that much
      }
      bestAddress = best.address;
      bestBytes = best.bytes;
    }
    best.free.remove(bestAddress);
    if (bestBytes > size) {
      best.free.put(bestAddress + size, bestBytes - size);
    }
    return bestAddress;
  }

  /** Where there is no room, empty blocks go back to the driver, and it is asked again. */
  private Block newBlock(long bytes) {
    long address = driver.allocate(bytes);
    if (address == 0 && releaseEmpty()) {
      address = driver.allocate(bytes);
    }
    if (address == 0) {
      return null;
    }
    Block block = new Block(address, bytes);
    blocks.add(block);
    return block;
  }

  private boolean releaseEmpty() {
    List<Block> empty = blocks.stream().filter(Block::isEmpty).toList();
    empty.forEach(this::release);
    return !empty.isEmpty();
  }

  private void release(Block block) {
    blocks.remove(block);
    driver.release(block.address);
  }

  /** Takes back what {@link #take} gave. */
  void give(long address) {
    Long size = pieces.remove(address);
    if (size == null) {
      throw new IllegalArgumentException("0x%x is no piece of this pool".formatted(address));
    }
    usedBytes -= size;
    Block block = blocks.stream().filter(b -> b.holds(address)).findFirst().orElseThrow();
    if (block.bytes == size) {
      release(block);
      return;
    }
    long start = address;
    long bytes = size;
    Map.Entry<Long, Long> before = block.free.lowerEntry(address);
    if (before != null && before.getKey() + before.getValue() == start) {
      start = before.getKey();
      bytes += before.getValue();
    }
    Long after = block.free.remove(address + size);
    if (after != null) {
      bytes += after;
    }
    block.free.put(start, bytes);
  }

  /** Bytes in pieces that are handed out. */
  long usedBytes() {
    return usedBytes;
  }

  /** The most that was ever handed out at once. */
  long highWaterBytes() {
    return highWaterBytes;
  }

  /** Bytes taken from the driver. */
  long reservedBytes() {
    return blocks.stream().mapToLong(block -> block.bytes).sum();
  }

  /** Pieces that are handed out. */
  int pieceCount() {
    return pieces.size();
  }

  /** Gives everything back to the driver. */
  @Override
  public void close() {
    List.copyOf(blocks).forEach(this::release);
    pieces.clear();
    usedBytes = 0;
  }
}
