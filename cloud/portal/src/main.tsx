import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { UNSAFE_PortalProvider as PortalProvider } from "react-aria/PortalProvider";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import "./design/portal.css";
import { queryClient, signedOut } from "./api/queries";
import { router } from "./router";

// A session that ended while the portal was open: to the sign-in, and from there back to the same page.
let leaving = false;
queryClient.getQueryCache().subscribe((event) => {
  if (leaving || event.type !== "updated" || event.action.type !== "error" || !signedOut(event.action.error)) return;
  if (!router.state.matches.some((match) => match.routeId === "/inside")) return;
  leaving = true;
  void router.navigate({ to: "/sign-in", search: { next: router.state.location.href } }).finally(() => {
    queryClient.clear();
    leaving = false;
  });
});

const element = document.getElementById("root");
if (!element) throw new Error("the page has no #root");
/** Menus and dialogs stand in what is on the full screen: what lies beside it nobody sees. */
function stands(): HTMLElement {
  const full = document.fullscreenElement;
  return full instanceof HTMLElement && full !== document.documentElement ? full : document.body;
}

createRoot(element).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <PortalProvider getContainer={stands}>
        <RouterProvider router={router} />
      </PortalProvider>
    </QueryClientProvider>
  </StrictMode>,
);
