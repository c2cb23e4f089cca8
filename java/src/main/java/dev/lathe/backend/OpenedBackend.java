package dev.lathe.backend;

/**
 * A backend and why it is this one.
 *
 * @param reason for logs and result rows: {@code libcuda.so.1 is not installed}
 */
public record OpenedBackend(Backend backend, String reason) implements AutoCloseable {
  @Override
  public void close() {
    backend.close();
  }
}
