import type { ReactNode } from "react";
import { Menu as AriaMenu, MenuItem as AriaMenuItem, MenuTrigger, Separator } from "react-aria-components/Menu";
import { Popover } from "react-aria-components/Popover";


export interface MenuEntry {
  id: string;
  label: string;
  icon?: ReactNode;
  danger?: boolean;
  disabled?: boolean;
  onAction: () => void;
}

interface MenuProps {
  label: string;
  /** The button that opens it. */
  children: ReactNode;
  /** Groups of entries, a line between them. */
  groups: (MenuEntry | false | undefined)[][];
  head?: ReactNode;
  /** Open when it first appears. */
  open?: boolean;
}

export function Menu({ label, children, groups, head, open = false }: MenuProps) {
  const shown = groups.map((group) => group.filter((entry) => !!entry)).filter((group) => group.length > 0);
  return (
    <MenuTrigger defaultOpen={open}>
      {children}
      <Popover className="popover" offset={6}>
        {head && <div className="menu-head">{head}</div>}
        <AriaMenu className="menu" aria-label={label}>
          {shown.flatMap((group, at) => [
            ...(at > 0 ? [<Separator key={`line-${at}`} className="menu-line" />] : []),
            ...group.map((entry) => (
              <AriaMenuItem key={entry.id} id={entry.id} textValue={entry.label} isDisabled={entry.disabled ?? false} onAction={entry.onAction}
                className={entry.danger ? "menu-item menu-danger" : "menu-item"} data-testid={`menu-${entry.id}`}>
                <span className="menu-icon">{entry.icon}</span>
                {entry.label}
              </AriaMenuItem>
            )),
          ])}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  );
}
