package dev.lathe.optimize;

import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.RunFolder;
import dev.lathe.measure.RunJson;
import dev.lathe.report.OptimizeResults.Check;
import dev.lathe.report.OptimizeResults.Profile;
import dev.lathe.report.Stage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What a run has decided so far: {@code journal.json} in the run folder, replaced whole after each
 * stage. A run that was killed goes on with the first stage that is not in it.
 */
final class Journal {
  static final String FILE = "journal.json";

  /**
   * What is in the file.
   *
   * @param resumed how often the run was taken up again
   * @param checks that stages have made
   * @param acceptedStep folder of the last accepted technique, relative to the run folder
   */
  record Content(
      int resumed,
      List<Stage> stages,
      List<Check> checks,
      Optional<String> acceptedStep,
      Optional<Profile> profileBefore,
      Optional<Profile> profileAfter) {
    Content {
      stages = List.copyOf(stages);
      checks = List.copyOf(checks);
    }
  }

  private final RunFolder folder;
  private Content content;

  private Journal(RunFolder folder, Content content) {
    this.folder = folder;
    this.content = content;
  }

  static Journal start(RunFolder folder) {
    return new Journal(
        folder,
        new Content(0, List.of(), List.of(), Optional.empty(), Optional.empty(), Optional.empty()));
  }

  /** Takes a run up again; one that was interrupted before its first stage has no journal yet. */
  static Journal resume(RunFolder folder) {
    Path file = folder.path().resolve(FILE);
    if (!Files.exists(file)) {
      return start(folder);
    }
    try {
      Content was = RunJson.read(Files.readString(file), Content.class, file.toString());
      Journal journal = new Journal(folder, was);
      journal.write(
          new Content(
              was.resumed() + 1,
              was.stages(),
              was.checks(),
              was.acceptedStep(),
              was.profileBefore(),
              was.profileAfter()));
      return journal;
    } catch (IOException e) {
      throw new InvalidInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
  }

  List<Stage> stages() {
    return content.stages();
  }

  Optional<Stage> find(String name) {
    return content.stages().stream().filter(stage -> stage.name().equals(name)).findFirst();
  }

  int resumed() {
    return content.resumed();
  }

  Optional<String> acceptedStep() {
    return content.acceptedStep();
  }

  Optional<Profile> profileBefore() {
    return content.profileBefore();
  }

  Optional<Profile> profileAfter() {
    return content.profileAfter();
  }

  List<Check> checks() {
    return content.checks();
  }

  /**
   * A stage is decided.
   *
   * @param step folder that holds the accepted model from now on
   * @param check that the stage has made
   */
  void decided(Stage stage, Optional<String> step, Optional<Check> check) {
    List<Stage> stages = new ArrayList<>(content.stages());
    stages.add(stage);
    List<Check> checks = new ArrayList<>(content.checks());
    check.ifPresent(checks::add);
    write(
        new Content(
            content.resumed(),
            stages,
            checks,
            step,
            content.profileBefore(),
            content.profileAfter()));
  }

  void profileBefore(Profile profile) {
    write(
        new Content(
            content.resumed(),
            content.stages(),
            content.checks(),
            content.acceptedStep(),
            Optional.of(profile),
            content.profileAfter()));
  }

  void profileAfter(Profile profile) {
    write(
        new Content(
            content.resumed(),
            content.stages(),
            content.checks(),
            content.acceptedStep(),
            content.profileBefore(),
            Optional.of(profile)));
  }

  private void write(Content now) {
    folder.writeWhole(FILE, RunJson.file(now));
    content = now;
  }
}
