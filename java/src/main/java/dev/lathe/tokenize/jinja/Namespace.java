package dev.lathe.tokenize.jinja;

import java.util.LinkedHashMap;
import java.util.Map;

/** The only thing whose fields a template may set. */
final class Namespace {
  final Map<String, Object> fields = new LinkedHashMap<>();
}
