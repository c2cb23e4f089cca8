package dev.lathe.backend;

import dev.lathe.tensor.DType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;

/** Backends that are poorer in types of keys and values than the ones they are made of. */
public final class Caches {
  private Caches() {}

  /** The same backend; it lists these types, and prefers the first. */
  public static Backend only(Backend backend, DType... types) {
    return (Backend)
        Proxy.newProxyInstance(
            Backend.class.getClassLoader(),
            new Class<?>[] {Backend.class},
            (_, method, arguments) ->
                switch (method.getName()) {
                  case "cacheTypes" -> List.of(types);
                  case "cacheType" -> types[0];
                  default -> {
                    try {
                      yield method.invoke(backend, arguments);
                    } catch (InvocationTargetException e) {
                      throw e.getCause();
                    }
                  }
                });
  }
}
