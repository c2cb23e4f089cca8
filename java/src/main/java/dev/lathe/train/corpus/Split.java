package dev.lathe.train.corpus;

/** Which text: what is learnt from, or what is only measured on. */
public enum Split {
  TRAINING,
  HELD_OUT
}
