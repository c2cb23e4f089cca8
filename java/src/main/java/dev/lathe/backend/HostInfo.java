package dev.lathe.backend;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;

/** What the operating system (or the container that limits it) says about the host's memory. */
public final class HostInfo {
  private HostInfo() {}

  public static long memoryBytes() {
    return bean().getTotalMemorySize();
  }

  public static long freeMemoryBytes() {
    return bean().getFreeMemorySize();
  }

  private static OperatingSystemMXBean bean() {
    return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
  }
}
