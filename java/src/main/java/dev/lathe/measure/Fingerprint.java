package dev.lathe.measure;

import dev.lathe.backend.DeviceInfo;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import tools.jackson.databind.node.ObjectNode;

/**
 * What a run's figures depend on: the content of {@code run.json}.
 *
 * @param verb {@code optimize}, {@code bench}
 * @param model as the user named it
 * @param modelHash {@code Checkpoint.hash()}
 * @param recipe everything that was asked for, as JSON: the recipe, or the options of the verb
 * @param backend {@code cpu}, with {@code backendReason} why it was chosen
 * @param driver version of the device's driver, where there is one
 * @param startedAt ISO 8601 with offset; of the first start, kept by a resumed run
 */
public record Fingerprint(
    String verb,
    String model,
    String modelHash,
    ObjectNode recipe,
    long seed,
    String backend,
    String backendReason,
    DeviceInfo device,
    Optional<String> driver,
    Machine machine,
    BuildVersion lathe,
    String startedAt) {

  /**
   * A fact in which two fingerprints differ.
   *
   * @param mixing true where samples of both would not belong in one table
   */
  public record Difference(String key, String was, String now, boolean mixing) {
    @Override
    public String toString() {
      return "%s was %s and is now %s".formatted(key, was, now);
    }
  }

  /** In what another run differs from this one; the start time does not count. */
  public List<Difference> differences(Fingerprint now) {
    List<Difference> found = new ArrayList<>();
    compare(found, "verb", verb, now.verb, true);
    compare(found, "model_hash", modelHash, now.modelHash, true);
    compare(found, "recipe", recipe, now.recipe, true);
    compare(found, "seed", seed, now.seed, true);
    compare(found, "backend", backend, now.backend, true);
    compare(found, "device", device.name(), now.device.name(), true);
    compare(found, "device.features", device.features(), now.device.features(), true);
    compare(found, "device.threads", device.threads(), now.device.threads(), true);
    compare(found, "machine.cpu", machine.cpu(), now.machine.cpu(), true);
    compare(found, "machine.cores", machine.cores(), now.machine.cores(), true);
    compare(found, "lathe.version", lathe.version(), now.lathe.version(), true);
    compare(found, "lathe.commit", lathe.commit(), now.lathe.commit(), false);
    compare(found, "driver", driver, now.driver, false);
    compare(found, "machine.host", machine.host(), now.machine.host(), false);
    compare(found, "machine.os", machine.os(), now.machine.os(), false);
    compare(found, "machine.jdk", machine.jdk(), now.machine.jdk(), false);
    return found;
  }

  private static void compare(
      List<Difference> found, String key, Object was, Object now, boolean mixing) {
    if (!Objects.equals(was, now)) {
      found.add(new Difference(key, text(was), text(now), mixing));
    }
  }

  private static String text(Object value) {
    return value instanceof Optional<?> o
        ? o.map(Object::toString).orElse("unknown")
        : String.valueOf(value);
  }
}
