import { count } from '../count.js';

export const dynamic = 'force-dynamic';

export function GET() {
  return Response.json({ served: count(0) });
}
