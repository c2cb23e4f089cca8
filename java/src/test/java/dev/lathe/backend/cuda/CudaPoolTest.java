package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** The pool over a driver that only counts. */
class CudaPoolTest {
  private static final class CountingDriver implements CudaPool.Driver {
    final Map<Long, Long> blocks = new TreeMap<>();
    long limitBytes = Long.MAX_VALUE;
    private long next = 1L << 40;

    @Override
    public long allocate(long bytes) {
      if (held() + bytes > limitBytes) {
        return 0;
      }
      long address = next;
      next += Math.ceilDiv(bytes, 4096L) * 4096 + 4096;
      blocks.put(address, bytes);
      return address;
    }

    @Override
    public void release(long address) {
      assertThat(blocks.remove(address)).as("released twice").isNotNull();
    }

    long held() {
      return blocks.values().stream().mapToLong(b -> b).sum();
    }
  }

  private final CountingDriver driver = new CountingDriver();
  private final CudaPool pool = new CudaPool(driver, 1 << 16);

  @Test
  void smallPiecesShareABlockAndAreAligned() {
    long a = pool.take(1);
    long b = pool.take(257);
    long c = pool.take(256);
    assertThat(driver.blocks).hasSize(1);
    assertThat(List.of(a % 256, b % 256, c % 256)).containsOnly(0L);
    assertThat(b - a).isEqualTo(256);
    assertThat(c - b).isEqualTo(512);
    assertThat(pool.usedBytes()).isEqualTo(1024);
  }

  @Test
  void whatIsGivenBackIsJoinedAndTakenAgain() {
    long a = pool.take(1024);
    long b = pool.take(1024);
    long c = pool.take(1024);
    long d = pool.take(1024);
    pool.give(a);
    pool.give(c);
    pool.give(b);
    assertThat(pool.take(3072)).isEqualTo(a);
    pool.give(d);
    assertThat(pool.highWaterBytes()).isEqualTo(4096);
    assertThat(driver.blocks).hasSize(1);
  }

  @Test
  void largePiecesGoBackToTheDriverAtOnce() {
    long large = pool.take(1 << 20);
    assertThat(pool.reservedBytes()).isEqualTo(1 << 20);
    pool.give(large);
    assertThat(driver.blocks).isEmpty();
  }

  @Test
  void emptyBlocksAreGivenBackWhereMemoryIsShort() {
    pool.give(pool.take(100)); // its block stays
    assertThat(driver.blocks).hasSize(1);
    driver.limitBytes = 100_000;
    assertThat(pool.take(90_000)).isNotZero();
    assertThat(driver.blocks).hasSize(1);
    assertThat(pool.take(50_000)).isZero();
    assertThat(pool.take(9_000)).as("less than a block is left").isNotZero();
  }

  @Test
  void withoutBlocksEachPieceIsOfJustItsSize() {
    CudaPool exact = new CudaPool(driver, 0);
    assertThat(exact.take(13)).isNotZero();
    assertThat(exact.take(400)).isNotZero();
    assertThat(driver.blocks.values()).containsExactlyInAnyOrder(13L, 400L);
    exact.close();
    assertThat(driver.blocks).isEmpty();
  }

  @Test
  void whatIsNotHandedOutCannotBeGivenBack() {
    long piece = pool.take(10);
    pool.give(piece);
    assertThatThrownBy(() -> pool.give(piece)).isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void piecesNeverOverlapAndNothingIsLost() {
    record Piece(long address, long bytes) {}
    Random random = new Random(7);
    List<Piece> held = new ArrayList<>();
    for (int i = 0; i < 5_000; i++) {
      if (held.isEmpty() || random.nextInt(100) < 52) {
        long bytes = 1L + random.nextInt(random.nextInt(20) == 0 ? 100_000 : 3_000);
        Piece piece = new Piece(pool.take(bytes), bytes);
        for (Piece other : held) {
          assertThat(
                  piece.address + piece.bytes <= other.address
                      || other.address + other.bytes <= piece.address)
              .isTrue();
        }
        held.add(piece);
      } else {
        pool.give(held.remove(random.nextInt(held.size())).address);
      }
    }
    assertThat(pool.pieceCount()).isEqualTo(held.size());
    held.forEach(piece -> pool.give(piece.address));
    assertThat(pool.usedBytes()).isZero();
    long whole = pool.take(1 << 15);
    assertThat(whole).isNotZero();
    pool.close();
    assertThat(driver.blocks).isEmpty();
  }
}
