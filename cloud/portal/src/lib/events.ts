import { text } from "../text";

/** A kind of event in words: known ones from the dictionary, others by their own name. */
export function eventName(kind: string): string {
  const known = (text.eventKinds as Record<string, string>)[kind];
  if (known) return known;
  const words = kind.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
