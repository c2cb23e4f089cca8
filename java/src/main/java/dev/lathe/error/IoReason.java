package dev.lathe.error;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;

/** What the system says about a file, without the file's name, which the message has already. */
public final class IoReason {
  private IoReason() {}

  /** In the system's words; Java keeps those of the commonest reasons to itself. */
  public static String of(IOException failure) {
    return switch (failure) {
      case NoSuchFileException _ -> "No such file or directory";
      case AccessDeniedException _ -> "Permission denied";
      case FileAlreadyExistsException _ -> "File exists";
      case NotDirectoryException _ -> "Not a directory";
      case FileSystemException e when e.getReason() != null -> e.getReason();
      case FileSystemException e -> e.getClass().getSimpleName().replaceFirst("Exception$", "");
      default ->
          failure.getMessage() == null
              ? failure.getClass().getSimpleName().replaceFirst("Exception$", "")
              : failure.getMessage();
    };
  }
}
