import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";

import { client } from "../api/client";
import { words } from "../api/errors";
import { signedOut } from "../api/queries";
import { say } from "../ui/toast";

/** Ends the session and forgets everything that was loaded in it. */
export function useSignOut(): () => Promise<void> {
  const queries = useQueryClient();
  const navigate = useNavigate();
  return async () => {
    try {
      await client.DELETE("/session");
    } catch (error) {
      if (!signedOut(error)) {
        say(words(error), true);
        return;
      }
    }
    await navigate({ to: "/sign-in" });
    queries.clear();
  };
}
