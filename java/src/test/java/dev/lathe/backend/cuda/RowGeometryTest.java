package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Geometry of launches for a GPU that isn't here: an H200, and a small one. */
class RowGeometryTest {
  private static final DeviceLimits[] DEVICES = {
    new DeviceLimits(132, 227 * 1024, 32, 1024, 90), new DeviceLimits(4, 99 * 1024, 32, 1024, 86)
  };
  private static final long[] ROWS = {1, 2, 31, 132, 133, 4096, 4_000_000_000L};
  private static final long[] COLS = {1, 64, 128, 129, 1024, 1028, 4096, 65_536, 1L << 31};

  @Test
  void gridsAreOfWholeWarpsAndWithinTheDevicesLimits() {
    for (DeviceLimits device : DEVICES) {
      for (long rows : ROWS) {
        for (long cols : COLS) {
          RowGeometry norm = RowGeometry.ofNorm(device, rows, cols);
          assertThat(norm.threads()).isBetween(32, 512);
          assertThat(norm.threads() % 32).isZero();
          assertThat(norm.blocks()).isBetween(1L, DeviceLimits.MAX_GRID_X);
          RowGeometry each = RowGeometry.ofEach(device, rows * cols);
          assertThat(each.threads()).isEqualTo(256);
          assertThat(each.blocks()).isBetween(1L, device.multiprocessors() * 8L);
        }
      }
    }
  }

  @Test
  void noBlockIsIdle() {
    for (DeviceLimits device : DEVICES) {
      for (long rows : ROWS) {
        RowGeometry warps = RowGeometry.ofNorm(device, rows, 64);
        assertThat(warps.warps()).isTrue();
        assertThat((warps.blocks() - 1) * (warps.threads() / 32)).isLessThan(rows);
        RowGeometry blocks = RowGeometry.ofNorm(device, rows, 4096);
        assertThat(blocks.warps()).isFalse();
        assertThat(blocks.blocks()).isEqualTo(Math.min(rows, DeviceLimits.MAX_GRID_X));
      }
    }
  }

  /** A decode step's row has as many threads as it has vectors, up to a block's most. */
  @Test
  void fewLongRowsGetLargeBlocks() {
    assertThat(RowGeometry.ofNorm(DEVICES[0], 1, 2048).threads()).isEqualTo(512);
    assertThat(RowGeometry.ofNorm(DEVICES[0], 1, 200).threads()).isEqualTo(64);
    assertThat(RowGeometry.ofNorm(DEVICES[0], 4096, 8192).threads()).isEqualTo(256);
    assertThat(RowGeometry.ofNorm(DEVICES[0], 1, 200).suffix()).isEqualTo("_block");
    assertThat(RowGeometry.ofNorm(DEVICES[0], 4096, 1024).warps()).isFalse();
    assertThat(RowGeometry.ofNorm(DEVICES[0], 8192, 1024).suffix()).isEqualTo("_warp");
  }

  @Test
  void valuesByThemselvesFillTheDeviceOnceAtMost() {
    assertThat(RowGeometry.ofEach(DEVICES[0], 1).blocks()).isEqualTo(1);
    assertThat(RowGeometry.ofEach(DEVICES[0], 1025).blocks()).isEqualTo(2);
    assertThat(RowGeometry.ofEach(DEVICES[0], 1L << 40).blocks()).isEqualTo(132 * 8);
  }
}
